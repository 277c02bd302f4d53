/* messaging_floor.c - messages between processes in C: the numbers to compare with.
 *
 *   messaging_floor one-way HOW SIZE CAPACITY BATCH PRODUCERS COPY SECONDS     nanoseconds per message; COPY 1: out of the queue, too
 *   messaging_floor round-trip HOW SIZE SPIN SECONDS                      nanoseconds per round trip; SPIN: nanoseconds before sleeping
 *
 * HOW, one way:  memcpy   one process, from a buffer into another: no message at all
 *                ring     a bare ring for one producer and one consumer: no lock, no sleep, nothing survives a kill.  Of two producers
 *                         each has one, and the consumer looks at both by turns
 *                queue    namedshm_queue.h; with BATCH above 1 by put_many and take_many, which the ring has not
 *                ack      the same with acknowledgement
 * Round trip:    ring     two of them, spinning
 *                queue    two of them
 *                futex    two words, wait and wake, no message at all
 *                spin     two words, spinning
 *
 * Each message has its number at three places: first, last, and one that is another for each message.  The consumer looks at the first
 * two, and at the third of small ones and of every 16th.  (To read all of a large message can take longer than to send it.)  The clock is the consumer's: it runs from when a ring has been
 * filled twice, for SECONDS.  Exit 9: a message was lost, doubled, in disorder or torn.
 */
#include "namedshm_queue.h"
#include <stdio.h>
#include <sys/wait.h>
#define SMALL 4096
#define PRODUCERS 4
#define BATCH 64

/* ------------------------------------------------------------------------------------------------------------- common */
typedef struct {
    volatile uint32_t ready, go, stop;
    char gap[256];
    uint32_t word[2][64];
} flags;
static flags *shared;
static size_t size;
static uint32_t capacity;
static int batch, producers, copied;

static void fail(const char *what) {
    fprintf(stderr, "messaging_floor: %s\n", what);
    _exit(9);
}
static void *page(size_t n) {
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) fail("no memory");
    return p;
}
/* The lower half of the processors for those who send, the upper for the one who receives; as messaging.py does. */
static void take_side(int upper) {
    cpu_set_t all, mine;
    int n = 0, seen = 0;
    if (sched_getaffinity(0, sizeof all, &all) || (n = CPU_COUNT(&all)) < 2) return;
    CPU_ZERO(&mine);
    for (int c = 0; c < CPU_SETSIZE; c++)
        if (CPU_ISSET(c, &all) && (seen++ >= n / 2) == upper) CPU_SET(c, &mine);
    sched_setaffinity(0, sizeof mine, &mine);
}
static void line_up(void) {
    __atomic_fetch_add(&shared->ready, 1, __ATOMIC_SEQ_CST);
    while (!shared->go) nshm__pause();
}
static char *third(const char *m, uint64_t i) { /* somewhere, never in the same place for long */
    return (char *)m + (i * 0x9e3779b97f4a7c15u >> 32) % (size / 8) * 8;
}
static void number(char *m, uint64_t i) {
    memcpy(third(m, i), &i, 8);
    memcpy(m, &i, 8);
    memcpy(m + size - 8, &i, 8);
}
static void look(const char *m, uint64_t want) {
    uint64_t found[3];
    memcpy(&found[0], m, 8);
    memcpy(&found[1], m + size - 8, 8);
    memcpy(&found[2], size <= SMALL || want % 16 == 0 ? third(m, want) : m, 8);
    for (int k = 0; k < 3; k++)
        if (found[k] != want) fail("a message is lost, doubled, in disorder or torn");
}
static char *messages(int n) { /* of one producer */
    char *m = (char *)aligned_alloc(4096, ((size_t)n * size + 4095) & ~(size_t)4095);
    if (!m) fail("no memory");
    memset(m, 7, (size_t)n * size);
    return m;
}
static void finish(pid_t child) {
    int status;
    if (waitpid(child, &status, 0) != child || status) fail("a process failed");
}

/* ------------------------------------------------------------------------------------------------------------- the bare ring */
typedef struct {
    _Alignas(128) uint64_t put, got_seen; /* the producer's */
    _Alignas(128) uint64_t got, put_seen; /* the consumer's */
    _Alignas(4096) char data[];
} ring;

static char *ring_room(ring *r) { /* NULL: full */
    if (r->put - r->got_seen >= capacity) r->got_seen = __atomic_load_n(&r->got, __ATOMIC_ACQUIRE);
    return r->put - r->got_seen >= capacity ? NULL : r->data + (r->put & (capacity - 1)) * size;
}
static char *ring_next(ring *r) { /* NULL: empty */
    if (r->put_seen == r->got) r->put_seen = __atomic_load_n(&r->put, __ATOMIC_ACQUIRE);
    return r->put_seen == r->got ? NULL : r->data + (r->got & (capacity - 1)) * size;
}
static void ring_put(ring *r, const char *m) {
    char *p;
    while (!(p = ring_room(r)))
        if (producers > 1) sched_yield(); /* they share a processor */
        else nshm__pause();
    memcpy(p, m, size);
    __atomic_store_n(&r->put, r->put + 1, __ATOMIC_RELEASE);
}
static void ring_got(ring *r) { __atomic_store_n(&r->got, r->got + 1, __ATOMIC_RELEASE); }
static ring *ring_new(void) { return (ring *)page(sizeof(ring) + capacity * size); }

/* ------------------------------------------------------------------------------------------------------------- one way */
static ring *rings[PRODUCERS];
static nshm_scope scope;
static char name[2][32];

static void produce_ring(int me) {
    char *m = messages(1);
    line_up();
    for (uint64_t i = 0; !shared->stop; i++) {
        number(m, i);
        char *p; /* not ring_put: it would wait for ever when the consumer has stopped */
        while (!(p = ring_room(rings[me]))) {
            if (shared->stop) return;
            if (producers > 1) sched_yield();
            else nshm__pause();
        }
        memcpy(p, m, size);
        __atomic_store_n(&rings[me]->put, rings[me]->put + 1, __ATOMIC_RELEASE);
    }
}
static void queue_open(int which, nshm_queue *q, int64_t spin) {
    if (nshm_queue_open(&scope, name[which], strlen(name[which]), 0, q)) fail("the queue is not there");
    q->spin = spin;
}
static void produce_queue(int me) {
    nshm_queue q;
    char *m = messages(batch);
    const void *at[BATCH];
    uint64_t length[BATCH], i = 0;
    queue_open(0, &q, NSHM_QUEUE_SPIN);
    for (int k = 0; k < batch; k++) {
        at[k] = m + (size_t)k * size;
        length[k] = size;
    }
    line_up();
    for (;;) {
        for (int k = 0; k < batch; k++) number(m + (size_t)k * size, (i + (uint64_t)k) | (uint64_t)me << 56);
        for (int done = 0; done < batch;) {
            int r = batch == 1 ? nshm_queue_put(&q, m, size, INT64_MAX)
                               : nshm_queue_put_many(&q, at + done, length + done, batch - done, INT64_MAX);
            if (r == -EPIPE) return; /* the consumer has shut it down */
            if (r < 0) fail("putting");
            done += batch == 1 ? 1 : r;
        }
        i += (uint64_t)batch;
    }
}

/* The consumer's clock: begins after `warm` messages, ends SECONDS later. */
typedef struct {
    uint64_t warm, counted;
    int64_t start, end, length;
} stopwatch;
static int running(stopwatch *w, uint64_t got) { /* called now and then */
    if (got < w->warm) return 1;
    int64_t now = nshm_now();
    if (!w->start) {
        w->start = now;
        w->warm = got;
    }
    w->end = now;
    w->counted = got - w->warm;
    return now - w->start < w->length || !w->counted;
}
static void consume_ring(stopwatch *w) {
    char *copy = messages(1);
    uint64_t got = 0, next[PRODUCERS] = {0};
    uint64_t often = size <= SMALL ? BATCH : 1;
    line_up();
    for (int k = 0;; k = k + 1 < producers ? k + 1 : 0) {
        char *m = ring_next(rings[k]);
        if (!m) {
            nshm__pause();
            continue;
        }
        if (copied) m = (char *)memcpy(copy, m, size);
        look(m, next[k]++);
        ring_got(rings[k]);
        if (++got % often == 0 && !running(w, got)) break;
    }
    shared->stop = 1;
}
static void consume_queue(stopwatch *w) {
    nshm_queue q;
    nshm_queue_window window[BATCH];
    char *copy = (char *)malloc(BATCH * SMALL), *out = messages(1);
    uint64_t got = 0, looked = 0, often = size <= SMALL ? BATCH : 1, next[PRODUCERS] = {0};
    queue_open(0, &q, NSHM_QUEUE_SPIN);
    line_up();
    do {
        int r = batch == 1 ? nshm_queue_take(&q, copy, BATCH * SMALL, window, INT64_MAX)
                           : nshm_queue_take_many(&q, copy, BATCH * SMALL, window, batch, INT64_MAX);
        if (r < 0) fail("taking");
        if (batch == 1) r = 1;
        for (int k = 0; k < r; k++) {
            char *m = (char *)window[k].data;
            uint64_t v;
            if (window[k].length != size) fail("a message has another length");
            if (copied && window[k].chunk != NSHM_QUEUE_NONE) m = (char *)memcpy(out, m, size);
            memcpy(&v, m, 8);
            if (v >> 56 >= (uint64_t)producers) fail("a message is torn");
            look(m, next[v >> 56]++ | (v >> 56) << 56);
            if (nshm_queue_release(&q, &window[k])) fail("releasing");
        }
        got += (uint64_t)r;
        if (got - looked < often) continue;
        looked = got;
        if (!running(w, got)) break;
    } while (1);
    nshm_queue_shut_down(&q, NSHM_QUEUE_STOP);
    nshm_queue_close(&q);
}
static double copying(double seconds) {
    char *from = messages(1), *to = messages(1);
    int64_t start = nshm_now(), end = start + (int64_t)(seconds * 1e9);
    uint64_t n = 0, often = size <= SMALL ? 1024 : 1;
    take_side(0);
    do {
        for (uint64_t k = 0; k < often; k++) {
            memcpy(to, from, size);
            __asm__ volatile("" : : "r"(to) : "memory");
        }
        n += often;
    } while (nshm_now() < end);
    return (double)(nshm_now() - start) / (double)n;
}
static void make_queue(int which, nshm_queue *q, uint32_t mode) {
    int inlined = size <= SMALL - 8 && !mode;
    nshm_queue_start start = {capacity, inlined ? (uint32_t)size : 64, inlined ? 0 : capacity + capacity / 2 + 4, 16, mode, size};
    snprintf(name[which], sizeof name[which], "floor-%d-%d", (int)getpid(), which);
    if (nshm_queue_create(&scope, name[which], strlen(name[which]), 0600, -1, 0, &start, q)) fail("making the queue");
}
static double one_way(const char *how, double seconds) {
    int bare = !strcmp(how, "ring");
    nshm_queue q;
    pid_t child[PRODUCERS];
    stopwatch w = {2 * (uint64_t)capacity * (uint64_t)producers, 0, 0, 0, (int64_t)(seconds * 1e9)};
    if (bare)
        for (int k = 0; k < producers; k++) rings[k] = ring_new();
    else make_queue(0, &q, strcmp(how, "ack") ? 0 : NSHM_QUEUE_ACK);
    for (int k = 0; k < producers; k++)
        if (!(child[k] = fork())) {
            take_side(0);
            if (bare) produce_ring(k);
            else produce_queue(k);
            _exit(0);
        }
    take_side(1);
    while (shared->ready < (uint32_t)producers) sched_yield();
    shared->go = 1;
    if (bare) consume_ring(&w);
    else consume_queue(&w);
    for (int k = 0; k < producers; k++) finish(child[k]);
    if (!bare) nshm_queue_close(&q);
    return (double)(w.end - w.start) / (double)w.counted;
}

/* ------------------------------------------------------------------------------------------------------------- there and back */
static const char *way;
static int64_t spin;
static nshm_queue ends[2];

static void futex(uint32_t *w, int op, uint32_t v) { syscall(SYS_futex, w, op, v, NULL, NULL, 0); }
static void send_to(int other, const char *m) {
    if (!strcmp(way, "ring")) ring_put(rings[other], m);
    else if (!strcmp(way, "queue")) {
        int r = nshm_queue_put(&ends[other], m, size, INT64_MAX);
        if (r && r != -EPIPE) fail("putting");
    } else {
        __atomic_store_n(shared->word[other], 1, __ATOMIC_SEQ_CST);
        if (!spin) futex(shared->word[other], FUTEX_WAKE, 1);
    }
}
static int receive(int me, char *m) { /* 0: it is over */
    if (!strcmp(way, "ring")) {
        char *p;
        while (!(p = ring_next(rings[me]))) {
            if (shared->stop) return 0;
            nshm__pause();
        }
        memcpy(m, p, size);
        ring_got(rings[me]);
    } else if (!strcmp(way, "queue")) {
        nshm_queue_window w;
        int r = nshm_queue_take(&ends[me], m, SMALL, &w, INT64_MAX);
        if (r == -EPIPE) return 0;
        if (r || nshm_queue_release(&ends[me], &w)) fail("taking");
    } else
        while (!__atomic_exchange_n(shared->word[me], 0, __ATOMIC_SEQ_CST)) {
            if (shared->stop) return 0;
            if (spin) nshm__pause();
            else futex(shared->word[me], FUTEX_WAIT, 0);
        }
    return 1;
}
static int ascending(const void *a, const void *b) { return *(const double *)a < *(const double *)b ? -1 : 1; }
/* The median over groups of trips: somebody else may have the processor for a while. */
static double round_trip(double seconds) {
    enum { GROUP = 16, MOST = 1 << 20 };
    double *times = (double *)calloc(MOST, sizeof *times);
    nshm_queue made[2];
    char m[SMALL], back[SMALL];
    int n = 0;
    uint64_t i = 0;
    memset(m, 7, sizeof m);
    memset(back, 7, sizeof back);
    for (int k = 0; k < 2; k++) {
        if (!strcmp(way, "ring")) rings[k] = ring_new();
        if (!strcmp(way, "queue")) make_queue(k, &made[k], 0);
    }
    pid_t child = fork();
    int me = !child;
    take_side(me);
    for (int k = 0; k < 2 && !strcmp(way, "queue"); k++) queue_open(k, &ends[k], spin);
    if (me) {
        shared->ready = 1;
        while (receive(1, m)) send_to(0, m);
        for (int k = 0; k < 2 && !strcmp(way, "queue"); k++) nshm_queue_close(&ends[k]);
        _exit(0);
    }
    while (!shared->ready) sched_yield();
    int64_t end = nshm_now() + (int64_t)(seconds * 1e9), last = 0, now;
    do {
        for (int k = 0; k < GROUP; k++, i++) {
            number(m, i);
            send_to(1, m);
            if (!receive(0, back)) fail("the other is gone");
            if (strcmp(way, "futex") && strcmp(way, "spin")) look(back, i);
        }
        now = nshm_now();
        if (last) times[n++] = (double)(now - last) / GROUP; /* the first group is for warming up */
        last = now;
    } while ((now < end || !n) && n < MOST);
    shared->stop = 1;
    futex(shared->word[1], FUTEX_WAKE, 1);
    for (int k = 0; k < 2 && !strcmp(way, "queue"); k++) nshm_queue_shut_down(&made[k], NSHM_QUEUE_STOP);
    if (!strcmp(way, "futex")) send_to(1, m);
    finish(child);
    for (int k = 0; k < 2 && !strcmp(way, "queue"); k++) {
        nshm_queue_close(&ends[k]);
        nshm_queue_close(&made[k]);
    }
    qsort(times, (size_t)n, sizeof *times, ascending);
    return times[n / 2];
}

int main(int argc, char **argv) {
    if (argc < 6) return 1;
    const char *what = argv[1], *how = argv[2];
    double result;
    shared = (flags *)page(sizeof *shared);
    size = (size_t)atol(argv[3]);
    nshm_scope_init(&scope, 0, "messaging-floor", -1, 1);
    if (!strcmp(what, "one-way") && argc == 9) {
        capacity = (uint32_t)atol(argv[4]);
        batch = atoi(argv[5]);
        producers = atoi(argv[6]);
        copied = atoi(argv[7]);
        if (size < 16 || size % 8 || batch < 1 || batch > BATCH || (batch > 1 && size > SMALL) || producers < 1 || producers > PRODUCERS) return 1;
        result = strcmp(how, "memcpy") ? one_way(how, atof(argv[8])) : copying(atof(argv[8]));
    } else if (!strcmp(what, "round-trip") && argc == 6) {
        capacity = 64;
        batch = producers = 1;
        if (size < 16 || size % 8 || size > SMALL) return 1;
        way = how;
        spin = atoll(argv[4]);
        result = round_trip(atof(argv[5]));
    } else return 1;
    printf("%.1f\n", result);
    return 0;
}
