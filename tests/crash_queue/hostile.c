/* hostile.c - somebody with the right to write a queue writes over its control words, all the time, while others use it.
 *
 *   hostile SECONDS SEED
 *
 * The queue lies in memory between pages that nobody may touch, and what callers pass between canaries.  The queue may be useless.
 * What must hold:
 *   CRASH     nobody dies
 *   CANARY    nothing is written beside what was passed, nothing is longer than it may be
 *   ENDLESS   no call takes longer than its deadline and the patience together
 * Errors are what should come.  Rounds with the constants damaged as well: then it is not opened, or it is opened as something sound.
 */
#define NSHM_QUEUE_PATIENCE 100000000
#define NSHM_QUEUE_NAP 20000000
#include "queues.h"

enum { CRASH, CANARY, ENDLESS, VIOLATIONS };
static const char *violation_name[VIOLATIONS] = {"crash", "canary", "endless"};
enum { CALLS, DONE, DAMAGED, REFUSED, SCRIBBLES, COUNTERS };
static const char *counter_name[COUNTERS] = {"calls", "done", "damaged", "refused", "scribbles"};
#include "../crash/tally.h"

enum { VICTIMS = 3, INLINE = 24, LARGE = 400, MARK = 0x5a, LIMIT = 3 /* seconds, on a busy machine */ };
static struct {
    _Atomic int over;
} *world;
static char *memory; /* of the queue, between guard pages */
static uint64_t size, control; /* bytes: of all of it; of control words and slots */
static nshm_handle template; /* of a real queue, for its place */

static uint64_t wild(void) {
    static const uint64_t values[] = {0, 1, ~0ULL, 0x80000000, 0x40000000, 0xc0000000, 0x7fffffff, 0xffffffff, 1ULL << 63, 1ULL << 32, 63, 64, 65,
                                      4096, 0xc0000001};
    switch (below(4)) {
    case 0: return values[below(sizeof values / sizeof *values)];
    case 1: return random_word();
    case 2: return below(256);
    default: return random_word() << 32 | below(100);
    }
}
static void scribble(uint64_t from) {
    nshm_queue_head *h = (nshm_queue_head *)memory;
    while (!world->over) {
        uint64_t at = from + below((uint32_t)(control - from)), value = wild();
        if (below(2)) __atomic_store_n((uint64_t *)(memory + (at & ~7ULL)), value, __ATOMIC_RELAXED);
        else __atomic_store_n((uint32_t *)(memory + (at & ~3ULL)), (uint32_t)value, __ATOMIC_RELAXED);
        count(SCRIBBLES);
        if (!below(8)) { /* else every lock would soon be somebody's for ever */
            uint32_t *locks[] = {&h->put.lock, &h->get.lock, &h->pool.lock, &h->shut};
            __atomic_store_n(locks[below(4)], below(4) ? 0 : (uint32_t)wild(), __ATOMIC_RELAXED);
        }
        usleep(below(50));
    }
    _exit(0);
}

static int64_t begun;
static void begin(void) { begun = nshm_now(); }
static int end(const char *what, int r) {
    int64_t took = nshm_now() - begun;
    count(CALLS);
    if (took > LIMIT * 1000000000LL) violation(ENDLESS, "%s took %ld ms", what, (long)(took / 1000000));
    if (r >= 0) count(DONE);
    if (r == -EUCLEAN) count(DAMAGED);
    return r;
}
static void read_and_release(nshm_queue *q, nshm_queue_window *w) {
    volatile char sum = 0;
    if (w->length > (w->chunk == NSHM_QUEUE_NONE ? INLINE : LARGE)) violation(CANARY, "%lu bytes", w->length);
    for (uint64_t i = 0; i < w->length; i += 16) sum = (char)(sum + ((volatile char *)w->data)[i]);
    begin();
    if (below(8)) end("release", nshm_queue_release(q, w));
    else end("return", nshm_queue_return(q, w));
}
static void use(nshm_queue *q) {
    static char source[LARGE] = {1};
    struct {
        char before[64], room[256], after[64];
    } to;
    nshm_queue_window w[8];
    nshm_queue_statistics s;
    nshm_queue_participant p;
    uint32_t cursor = 0;
    int r = 0;
    memset(&to, MARK, sizeof to);
    int64_t deadline = below(2) ? 0 : nshm_now() + below(2000000);
    begin();
    switch (below(9)) {
    case 0: end("put", nshm_queue_put(q, source, below(INLINE + 1), deadline)); break;
    case 1: end("put in a chunk", nshm_queue_put(q, source, LARGE, deadline)); break;
    case 2:
    case 3: r = end("take", nshm_queue_take(q, to.room, INLINE, w, deadline)) ? 0 : 1; break;
    case 4: r = end("take many", nshm_queue_take_many(q, to.room, sizeof to.room, w, 8, deadline)); break;
    case 5: {
        const void *from[3] = {source, source, source};
        uint64_t lengths[3] = {8, INLINE, 0};
        end("put many", nshm_queue_put_many(q, from, lengths, 3, deadline));
        break;
    }
    case 6:
        if (end("loan", nshm_queue_loan(q, w, deadline))) break;
        memset(w->data, 1, w->length);
        begin();
        if (end("commit", nshm_queue_commit(q, w, LARGE, deadline))) end("abandon", nshm_queue_abandon(q, w));
        break;
    case 7: end("sweep", nshm__queue_sweep(q, NULL)); break;
    default:
        nshm_queue_stat(q, &s);
        while (!nshm_queue_next_participant(q, &cursor, &p)) {}
        end("look", 0);
    }
    for (int k = 0; k < r; k++) read_and_release(q, &w[k]);
    for (size_t i = 0; i < sizeof to.before; i++)
        if (to.before[i] != MARK || to.after[i] != MARK) violation(CANARY, "written beside the buffer");
}
static void be_a_victim(void) {
    nshm_queue q;
    while (!world->over) {
        q.handle = template;
        begin();
        if (end("open", nshm__queue_attach(&q, memory, size))) {
            count(REFUSED);
            usleep(200);
            continue;
        }
        q.spin = 0;
        for (int i = 0; i < 200 && !world->over; i++) use(&q);
        begin();
        nshm__queue_leave(&q);
        end("leave", 0);
        free(q.scratch);
    }
    _exit(0);
}
static char *between_guards(uint64_t n) {
    char *p = mmap(NULL, nshm_page_round(n) + 8192, PROT_NONE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED || mprotect(p + 4096, nshm_page_round(n), PROT_READ | PROT_WRITE)) broken("mmap");
    return p + 4096;
}
static void play_round(int round) {
    nshm_queue_offsets o;
    pid_t kids[VICTIMS + 1];
    int status;
    start = starting(8, INLINE, 5, round % 2 ? NSHM_QUEUE_ACK : round % 4 ? NSHM_QUEUE_DROP_OLDEST : NSHM_QUEUE_ENDS, LARGE);
    if (nshm__queue_layout(&start, &o)) broken("layout");
    size = o.size;
    control = o.data;
    memory = between_guards(size);
    nshm__queue_format(memory, &start, &o);
    world->over = 0;
    for (int i = 0; i <= VICTIMS; i++) {
        uint64_t salt = random_word();
        if ((kids[i] = fork_known()) < 0) broken("fork");
        if (kids[i]) continue;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        stir(salt);
        if (i == VICTIMS) scribble(below(4) ? offsetof(nshm_queue_head, shut) : 0); /* else soon nobody can open it */
        be_a_victim();
    }
    usleep(150000);
    world->over = 1;
    double since = seconds();
    for (int i = 0; i <= VICTIMS;) {
        pid_t pid = waitpid(kids[i], &status, WNOHANG);
        if (pid == kids[i]) {
            if (status) violation(CRASH, "a process ended with %x", status);
            i++;
        } else if (seconds() - since > 3 * LIMIT) {
            violation(ENDLESS, "a process does not end");
            kill(kids[i], SIGKILL);
            waitpid(kids[i++], NULL, 0);
        } else usleep(500);
    }
    munmap(memory - 4096, nshm_page_round(size) + 8192);
}

int main(int argc, char **argv) {
    double limit = argc > 1 ? atof(argv[1]) : 5, since;
    nshm_queue q;
    int rounds = 0;
    enter_own_world();
    stir(argc > 2 ? strtoull(argv[2], NULL, 0) : 1);
    world = shared_memory(sizeof *world);
    begin_tally();
    begin_scope("hostile");
    start = starting(4, 16, 0, 0, 16);
    make_queue(&q); /* its place is where proofs of life are made and asked for */
    template = q.handle;
    for (since = seconds(); seconds() - since < limit && !all_violations(); rounds++) play_round(rounds);
    printf("rounds=%d seconds=%.1f", rounds, seconds() - since);
    print_tally();
    return all_violations() ? CAUGHT : 0;
}
