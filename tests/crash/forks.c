/* forks.c - threads create, open, duplicate and close while the process forks: a child has whole handles only, or none.
 *
 *   forks ROUNDS
 *
 * The children hold no handle (their copies belong to threads they do not have), so all they may have attached is the registry.
 * The threads say when a handle is in flight, as callers that give control away do.
 */
#include "common.h"

#include "namedshm.h"

#include "attached.h"

enum { THREADS = 3 };
static nshm_scope scope;
static _Atomic int stop;
static _Atomic long created;

static void *work(void *argument) {
    char name[8];
    nshm_handle h, twin;
    snprintf(name, sizeof name, "t%d", (int)(intptr_t)argument);
    memset(&h, 0, sizeof h);
    memset(&twin, 0, sizeof twin);
    while (!stop) {
        nshm_flight_begin(&h);
        nshm_flight_begin(&twin);
        if (!nshm_create(&scope, NSHM_SECTION, name, strlen(name), 100, 0600, -1, 0, 0, 0, NULL, NULL, &h)) {
            if (!nshm_open(&scope, NSHM_SECTION, name, strlen(name), 0, &twin)) nshm_close(&twin, 0);
            if (!nshm_duplicate(&h, 0, &twin)) nshm_close(&twin, 0);
            nshm_close(&h, 0);
            created++;
        }
        nshm_flight_end(&twin);
        nshm_flight_end(&h);
    }
    return NULL;
}
int main(int argc, char **argv) {
    int rounds = argc > 1 ? atoi(argv[1]) : 200;
    long violations = 0;
    char session[64];
    pthread_t threads[THREADS];
    nshm_place *place;
    snprintf(session, sizeof session, "forks-%d-%lx", (int)getpid(), (long)time(NULL));
    enter_own_world();
    nshm_scope_init(&scope, NSHM_LOCAL, session, -1, 1);
    if (nshm_place_of(&scope, 1, &place)) broken("no registry");
    for (intptr_t i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, work, (void *)i)) broken("pthread_create");
    for (int i = 0; i < rounds && violations < 5; i++) {
        int status;
        pid_t pid = fork_known();
        if (pid < 0) broken("fork");
        if (!pid) {
            int n = attachments();
            if (n) fprintf(stderr, "a child has %d segments attached besides the registry\n", n);
            _exit(n != 0);
        }
        while (waitpid(pid, &status, 0) < 0)
            if (errno != EINTR) broken("waitpid");
        if (!WIFEXITED(status) || WEXITSTATUS(status)) violations++;
    }
    stop = 1;
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    printf("created=%ld violations=%ld\n", (long)created, violations);
    return violations ? CAUGHT : 0;
}
