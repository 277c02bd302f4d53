/* A member of the creating group changes what a Global record says: forge SESSION GROUP NAME FIELD=NUMBER...
 * It uses the header's own names, so it stays a forger of the right bytes when the format changes. */
#include "namedshm.h"

#include <stdio.h>

int main(int argc, char **argv) {
    nshm_scope scope;
    if (argc < 4) return 2;
    nshm_scope_init(&scope, NSHM_GLOBAL, argv[1], atoll(argv[2]), 1);
    nshm_place *place;
    int r = nshm_place_of(&scope, 1, &place);
    if (r) return fprintf(stderr, "registry: %s\n", strerror(-r)), 1;
    for (uint32_t i = 0; i < nshm__used(place->registry); i++) {
        nshm_record *record = &place->registry->record[i];
        if (record->length != strlen(argv[3]) || memcmp(record->name, argv[3], record->length)) continue;
        for (int n = 4; n < argc; n++) {
            char *value = strchr(argv[n], '=');
            if (!value) return 2;
            *value++ = 0;
            if (!strcmp(argv[n], "token")) record->token = atoi(value);
            else if (!strcmp(argv[n], "data")) record->data = atoi(value);
            else if (!strcmp(argv[n], "token_size")) record->token_size = (uint32_t)atoll(value);
            else if (!strcmp(argv[n], "size")) record->size = (uint64_t)atoll(value);
            else if (!strcmp(argv[n], "props")) record->props = (uint32_t)atoll(value);
            else if (!strcmp(argv[n], "maker")) record->maker = (uint32_t)atoll(value);
            else return fprintf(stderr, "no field %s\n", argv[n]), 2;
        }
        return 0;
    }
    return fprintf(stderr, "no %s\n", argv[3]), 1;
}
