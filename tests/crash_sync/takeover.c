/* takeover.c - how long does it take from the death of an owner until the next one, already asleep, has the mutex?
 *
 *   takeover ROUNDS [KIND]    KIND: kill (default), exit, thread (a thread ends), release (nobody dies: for comparison)
 *
 * Prints the distribution in microseconds.  Fails if somebody waits for longer than the patience, or is not told.
 */
#include "../crash/common.h"
#include "namedshm_sync.h"

enum { PATIENCE = 20 };
static struct {
    _Atomic int64_t begun; /* nanoseconds: when the owner came to its end */
    _Atomic int owned;
} *board;
static nshm_scope scope;
static nshm_handle handle;
static nshm_waitee mutex;

static int acquire(int64_t seconds_) {
    nshm_wait_context c;
    memset(&c, 0, sizeof c);
    c.count = 1;
    c.object[0] = mutex;
    c.deadline = nshm_now() + seconds_ * 1000000000;
    return nshm_wait(&c);
}
static void *own_and_end(void *nothing) {
    (void)nothing;
    if (acquire(PATIENCE) < 0) _exit(BROKEN);
    board->owned = 1;
    char byte;
    if (read(0, &byte, 1) != 1) _exit(BROKEN);
    board->begun = nshm_now();
    return NULL;
}
static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}
int main(int argc, char **argv) {
    int rounds = argc > 1 ? atoi(argv[1]) : 200, wrong = 0;
    const char *kind = argc > 2 ? argv[2] : "kill";
    char session[64];
    double *took = malloc((size_t)rounds * sizeof *took);
    snprintf(session, sizeof session, "takeover-%d-%lx", (int)getpid(), (long)time(NULL));
    enter_own_world();
    board = shared_memory(sizeof *board);
    nshm_scope_init(&scope, NSHM_LOCAL, session, -1, 1);
    nshm_sync_start start = {NSHM_MUTEX, 0, 0, 0};
    int r = nshm_create(&scope, NSHM_MUTEX, "m", 1, 4096, 0600, -1, 0, 0, 0, nshm_sync_fill, &start, &handle);
    if (r || nshm_sync_waitee(&handle, NSHM_MUTEX, &mutex)) broken("create: %s", strerror(-r));
    for (int i = 0; i < rounds; i++) {
        int order[2], status;
        if (pipe2(order, O_CLOEXEC)) broken("pipe");
        board->owned = 0;
        pid_t owner = fork_known(), ender = 0;
        if (owner < 0) broken("fork");
        if (!owner) {
            pthread_t thread;
            dup2(order[0], 0);
            if (!strcmp(kind, "thread")) {
                if (pthread_create(&thread, NULL, own_and_end, NULL)) _exit(BROKEN);
                for (;;) pause();
            }
            own_and_end(NULL);
            if (!strcmp(kind, "release")) nshm_mutex_release(&mutex);
            _exit(0);
        }
        while (!board->owned) sched_yield();
        /* who ends it acts when we are asleep: the mark in the word is set just before */
        if (!(ender = fork_known())) {
            while (!(__atomic_load_n(&mutex.words->state, __ATOMIC_SEQ_CST) & FUTEX_WAITERS)) sched_yield();
            usleep(below(200)); /* not for coordination: asleep for longer or shorter */
            if (strcmp(kind, "kill")) {
                if (write(order[1], "!", 1) != 1) _exit(BROKEN);
            } else {
                board->begun = nshm_now();
                kill(owner, SIGKILL);
            }
            _exit(0);
        }
        r = acquire(PATIENCE);
        took[i] = (double)(nshm_now() - board->begun) / 1000;
        if (r < 0) wrong++, fprintf(stderr, "round %d: %s\n", i, strerror(-r));
        else {
            if (r != (strcmp(kind, "release") ? NSHM_ABANDONED : 0)) wrong++, fprintf(stderr, "round %d: got %x\n", i, r);
            nshm_mutex_release(&mutex);
        }
        kill(owner, SIGKILL);
        while (waitpid(owner, &status, 0) < 0 && errno == EINTR) {}
        while (waitpid(ender, &status, 0) < 0 && errno == EINTR) {}
        random_word();
        close(order[0]);
        close(order[1]);
    }
    qsort(took, (size_t)rounds, sizeof *took, compare);
    printf("rounds=%d wrong=%d least=%.0f median=%.0f p90=%.0f p99=%.0f most=%.0f\n", rounds, wrong, took[0], took[rounds / 2],
           took[rounds * 9 / 10], took[rounds * 99 / 100], took[rounds - 1]);
    return wrong ? CAUGHT : 0;
}
