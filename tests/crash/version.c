/* version.c - a program of some version of the format, beside programs of another.
 *
 *   version SESSION    tries to create a section, says "errno=N" (0: it has it), and keeps it until its input ends
 */
#include "namedshm.h"
#include <stdio.h>

int main(int argc, char **argv) {
    nshm_scope scope;
    nshm_handle h;
    if (argc < 2) return 2;
    nshm_scope_init(&scope, NSHM_LOCAL, argv[1], -1, 1);
    printf("errno=%d\n", -nshm_create(&scope, NSHM_SECTION, "s", 1, 100, 0600, -1, 0, 0, 0, NULL, NULL, &h));
    fflush(stdout);
    getchar();
    return 0;
}
