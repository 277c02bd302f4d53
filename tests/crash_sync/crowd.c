/* crowd.c - how many of those who sleep on an event does one set wake, after somebody who waited for several was killed?
 *
 *   crowd ROUNDS
 *
 * One, and it takes it: the others sleep on.  Nobody looks by himself.  Prints microseconds per set, with everybody asleep again.
 */
#include "../crash/common.h"

static void at_step(const char *what);
#define NSHM_STEP(what) at_step(what)
#define NSHM_NAP 3600000000000LL
#include "namedshm_sync.h"

#ifndef PATIENCE
#define PATIENCE 10 /* seconds; what is due takes microseconds */
#endif
enum { SLEEPERS = 8 };
static struct {
    _Atomic int woken, taken;
} *board;
static nshm_scope scope;
static nshm_handle handles[2];
static nshm_waitee event[2];

static void at_step(const char *what) {
    if (!strcmp(what, "woken")) board->woken++;
}
static int wait_for(int count) {
    nshm_wait_context c;
    memset(&c, 0, sizeof c);
    c.count = count;
    c.deadline = INT64_MAX;
    for (int k = 0; k < count; k++) c.object[k] = event[k];
    return nshm_wait(&c);
}
static int asleep(void) { return (int)syscall(SYS_futex, &event[0].words->state, FUTEX_REQUEUE, 0, (void *)(intptr_t)INT_MAX, &event[0].words->state, 0); }
static void until_asleep(int count) {
    double start = seconds();
    while (asleep() != count) {
        if (seconds() - start > PATIENCE) fprintf(stderr, "STUCK: %d sleep, not %d\n", asleep(), count), exit(CAUGHT);
        sched_yield();
    }
}
int main(int argc, char **argv) {
    int rounds = argc > 1 ? atoi(argv[1]) : 200;
    char session[64];
    snprintf(session, sizeof session, "crowd-%d-%lx", (int)getpid(), (long)time(NULL));
    enter_own_world();
    board = shared_memory(sizeof *board);
    nshm_scope_init(&scope, NSHM_LOCAL, session, -1, 1);
    for (int k = 0; k < 2; k++) {
        nshm_sync_start start = {NSHM_EVENT, 0, 0, 0};
        int r = nshm_create(&scope, NSHM_EVENT, k ? "b" : "a", 1, 4096, 0600, -1, 0, 0, 0, nshm_sync_fill, &start, &handles[k]);
        if (r || nshm_sync_waitee(&handles[k], NSHM_EVENT, &event[k])) broken("create: %s", strerror(-r));
    }
    pid_t victim = fork_known();
    if (!victim) _exit(wait_for(2));
    until_asleep(1);
    kill(victim, SIGKILL);
    waitpid(victim, NULL, 0);
    for (int k = 0; k < SLEEPERS; k++)
        if (!fork_known()) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            while (wait_for(1) == 0) board->taken++;
            _exit(BROKEN);
        }
    until_asleep(SLEEPERS);
    double start = seconds();
    for (int k = 0; k < rounds; k++) {
        if (nshm_event_set(&event[0])) broken("set");
        while (board->taken == k) sched_yield();
        until_asleep(SLEEPERS);
    }
    printf("rounds=%d taken=%d woken=%d us=%.1f\n", rounds, board->taken, board->woken, (seconds() - start) / rounds * 1e6);
    return board->taken == rounds && board->woken == rounds ? 0 : CAUGHT;
}
