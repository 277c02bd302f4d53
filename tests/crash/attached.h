/* attached.h - what this process has attached, registries aside.  Include it after namedshm.h. */
#ifndef CRASH_ATTACHED_H
#define CRASH_ATTACHED_H

static inline int attachments(void) {
    char line[512];
    int n = 0;
    FILE *f = fopen("/proc/self/maps", "r");
    if (!f) broken("/proc/self/maps");
    while (fgets(line, sizeof line, f)) {
        char *at = (char *)strtoull(line, NULL, 16);
        int in_registry = 0; /* of which there are several lines: a page of it may be another's */
        for (nshm_place *p = nshm__places; p; p = p->next) in_registry |= at >= (char *)p->registry && at < (char *)p->registry + p->size;
        n += strstr(line, "/SYSV") && !in_registry;
    }
    fclose(f);
    return n;
}
#endif
