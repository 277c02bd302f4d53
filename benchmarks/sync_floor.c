/* sync_floor.c - what synchronisation costs in C: the numbers to compare with.
 *
 *   sync_floor contend-pthread SECONDS [INSIDE OUTSIDE]   two processes on one robust, process-shared pthread mutex: acquisitions per
 *                                        second; each works INSIDE nanoseconds while it has it and OUTSIDE while it has not
 *   sync_floor contend-header SECONDS [INSIDE OUTSIDE]    the same with include/namedshm_sync.h
 *   sync_floor pingpong-futex N          two processes, a pair of bare futexes: nanoseconds per round trip
 *   sync_floor pingpong-spin N           two processes spinning on two words: nanoseconds per round trip
 */
#include "namedshm_sync.h"
#include <stdio.h>
#include <sys/wait.h>

typedef struct {
    pthread_mutex_t mutex;
    char gap[256];
    uint32_t word[2][64];
    volatile int stop;
    char gap2[256];
    long count[2][64];
    long counter;
} shared;

static void *page(size_t n) { return mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0); }
static void futex(uint32_t *w, int op, uint32_t v) { syscall(SYS_futex, w, op, v, NULL, NULL, 0); }

static void turn(shared *s, int me, long n, int spin) { /* each waits for its own word, then sets the other's */
    for (long i = 0; i < n; i++) {
        uint32_t *mine = s->word[me], *other = s->word[!me];
        if (me == 0) {
            __atomic_store_n(other, 1, __ATOMIC_SEQ_CST);
            if (!spin) futex(other, FUTEX_WAKE, 1);
        }
        while (!__atomic_exchange_n(mine, 0, __ATOMIC_SEQ_CST)) {
            if (spin) nshm__pause();
            else futex(mine, FUTEX_WAIT, 0);
        }
        if (me == 1) {
            __atomic_store_n(other, 1, __ATOMIC_SEQ_CST);
            if (!spin) futex(other, FUTEX_WAKE, 1);
        }
    }
}

/* Work that touches no memory: so many additions, as many as take a nanosecond times n. */
static double additions_per_ns;
static void work(double n) {
    for (long k = (long)(n * additions_per_ns); k > 0; k--) __asm__ volatile("" : "+r"(k));
}
static void calibrate(void) { /* the best of some: others may use the processor */
    for (int i = 0; i < 20; i++) {
        additions_per_ns = 1;
        int64_t start = nshm_now();
        work(200000);
        double rate = 200000 / (double)(nshm_now() - start);
        static double best;
        additions_per_ns = best = rate > best ? rate : best;
    }
}

int main(int argc, char **argv) {
    if (argc < 3) return 1;
    double inside = argc > 4 ? atof(argv[3]) : 0, outside = argc > 4 ? atof(argv[4]) : 0;
    shared *s = (shared *)page(sizeof *s);
    const char *what = argv[1];
    if (!strncmp(what, "pingpong", 8)) {
        long n = atol(argv[2]);
        int spin = !strcmp(what, "pingpong-spin");
        pid_t child = fork();
        if (!child) {
            turn(s, 1, n, spin);
            _exit(0);
        }
        int64_t start = nshm_now();
        turn(s, 0, n, spin);
        printf("%.0f\n", (double)(nshm_now() - start) / (double)n);
        waitpid(child, NULL, 0);
        return 0;
    }
    int header = !strcmp(what, "contend-header");
    nshm_scope scope;
    nshm_handle h;
    nshm_wait_context c;
    memset(&c, 0, sizeof c);
    if (header) {
        nshm_sync_start start = {NSHM_MUTEX, 0, 0, 0};
        nshm_scope_init(&scope, 0, "sync-floor", -1, 1);
        if (nshm_create(&scope, NSHM_MUTEX, "m", 1, 4096, 0600, -1, 0, NSHM_EXCLUSIVE, 0, nshm_sync_fill, &start, &h)) return 2;
        c.count = 1;
        c.deadline = INT64_MAX;
        c.spin = 10000;
        nshm_sync_waitee(&h, NSHM_MUTEX, &c.object[0]);
    } else {
        pthread_mutexattr_t a;
        pthread_mutexattr_init(&a);
        pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
        pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
        pthread_mutex_init(&s->mutex, &a);
    }
    pid_t child[2];
    if (inside + outside > 0) calibrate();
    for (int k = 0; k < 2; k++)
        if (!(child[k] = fork())) {
            while (!s->stop) {
                if (header) {
                    if (nshm_try(&c.object[0])) {
                        c.begun = 0;
                        if (nshm_wait(&c)) _exit(3);
                    }
                    s->counter++;
                    work(inside);
                    nshm_mutex_release(&c.object[0]);
                } else {
                    pthread_mutex_lock(&s->mutex);
                    s->counter++;
                    work(inside);
                    pthread_mutex_unlock(&s->mutex);
                }
                s->count[k][0]++;
                work(outside);
            }
            _exit(0);
        }
    usleep((useconds_t)(atof(argv[2]) * 1e6));
    s->stop = 1;
    waitpid(child[0], NULL, 0);
    waitpid(child[1], NULL, 0);
    if (s->counter != s->count[0][0] + s->count[1][0]) return 4; /* somebody was not alone */
    printf("%.0f\n", (double)s->counter / atof(argv[2]));
    return 0;
}
