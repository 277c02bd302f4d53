/* hostile.c - somebody with the right to write a topic writes over its control words, all the time, while others use it; and somebody who may
 * only read it writes over the wishes, and wakes and moves those who sleep.
 *
 *   hostile SECONDS SEED
 *
 * The topic lies in memory between pages that nobody may touch, and what callers pass between canaries.  The topic may be useless.
 * What must hold:
 *   CRASH     nobody dies
 *   CANARY    nothing is written beside what was passed, nothing is longer than it may be
 *   ENDLESS   no call takes longer than its deadline and the patience together
 * Errors are what should come.  Rounds with the constants damaged as well: then it is not opened, or it is opened as something sound.
 * In every fourth round nobody may write but the hostile reader: then nothing is damaged, and no error comes but for time.
 */
#define NSHM_QUEUE_PATIENCE 100000000
#define NSHM_TOPIC_NAP 20000000
#include "topics.h"

enum { CRASH, CANARY, ENDLESS, HARMED, VIOLATIONS };
static const char *violation_name[VIOLATIONS] = {"crash", "canary", "endless", "harmed"};
enum { CALLS, DONE, DAMAGED, REFUSED, SCRIBBLES, COUNTERS };
static const char *counter_name[COUNTERS] = {"calls", "done", "damaged", "refused", "scribbles"};
#include "../crash/tally.h"

enum { VICTIMS = 3, INLINE = 24, LARGE = 400, HISTORY = 4, MARK = 0x5a, LIMIT = 3 /* seconds, on a busy machine */ };
static struct {
    _Atomic int over;
} *world;
static char *memory; /* of the topic, between guard pages */
static uint32_t *wishes;
static uint64_t size, control; /* bytes: of all of it; of control words and ring */
static int readers_only;
static nshm_handle template; /* of a real topic, for its place */

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
    nshm_topic_head *h = (nshm_topic_head *)memory;
    while (!world->over) {
        uint64_t at = from + below((uint32_t)(control - from)), value = wild();
        if (!below(8)) at = offsetof(nshm_topic_head, latest); /* else it would be found too seldom */
        if (below(2)) __atomic_store_n((uint64_t *)(memory + (at & ~7ULL)), value, __ATOMIC_RELAXED);
        else __atomic_store_n((uint32_t *)(memory + (at & ~3ULL)), (uint32_t)value, __ATOMIC_RELAXED);
        count(SCRIBBLES);
        if (!below(8)) { /* else every lock would soon be somebody's for ever, and the topic ended */
            uint32_t *locks[] = {&h->lock, &h->table, (uint32_t *)&h->latest};
            __atomic_store_n(locks[below(3)], below(4) ? (uint32_t)below(20) << 1 : (uint32_t)wild(), __ATOMIC_RELAXED);
            __atomic_store_n(locks[below(2)], 0, __ATOMIC_RELAXED);
        }
        usleep(below(50));
    }
    _exit(0);
}
/* What a reader without any right to write can do to others. */
static void annoy(void) {
    static uint32_t elsewhere;
    uint32_t *bed = (uint32_t *)&((nshm_topic_head *)memory)->latest;
    while (!world->over) {
        switch (below(4)) {
        case 0: __atomic_store_n(wishes, (uint32_t)wild(), __ATOMIC_RELAXED); break;
        case 1: __atomic_store_n(wishes, __atomic_load_n(&((nshm_topic_head *)memory)->served, __ATOMIC_RELAXED), __ATOMIC_RELAXED); break;
        case 2: syscall(SYS_futex, bed, FUTEX_WAKE, 1, NULL, NULL, 0); break;
        default: syscall(SYS_futex, bed, FUTEX_REQUEUE, 0, (void *)(intptr_t)INT_MAX, &elsewhere, 0);
        }
        count(SCRIBBLES);
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
    if (readers_only && r < 0 && r != -EAGAIN && r != -ETIMEDOUT && r != -EBUSY) violation(HARMED, "%s: %s", what, strerror(-r));
    return r;
}
static void look_at(const nshm_topic_window *w) {
    volatile char sum = 0;
    if (w->length > LARGE) violation(CANARY, "%lu bytes", w->length);
    else
        for (uint64_t i = 0; i < w->length; i += 16) sum = (char)(sum + ((volatile char *)w->data)[i]);
}
static void use(nshm_topic *t) {
    static char source[LARGE] = {1};
    static uint64_t after;
    struct {
        char before[64], room[LARGE], after[64];
    } to;
    nshm_topic_window w;
    nshm_topic_statistics s;
    nshm_topic_participant p;
    uint32_t cursor = 0;
    memset(&to, MARK, sizeof to);
    int64_t deadline = below(2) ? 0 : nshm_now() + below(2000000);
    uint64_t room = below(4) ? LARGE : INLINE;
    if (!below(4)) after = nshm_topic_number(t);
    else if (!below(4)) after = below(20);
    begin();
    switch (below(10)) {
    case 0: end("publish", nshm_topic_publish(t, source, below(INLINE + 1), deadline, NULL)); break;
    case 1: end("publish a frame", nshm_topic_publish(t, source, LARGE, deadline, NULL)); break;
    case 2:
        if (end("loan", nshm_topic_loan(t, &w, deadline))) break;
        memset(w.data, 1, w.length);
        begin();
        if (!below(4)) end("abandon", nshm_topic_abandon(t, &w));
        else if (end("commit", nshm_topic_commit(t, &w, LARGE, deadline))) end("abandon", nshm_topic_abandon(t, &w));
        break;
    case 3:
        if (end("latest", readers_only ? nshm_topic_latest(t, after, to.room, LARGE, &w, deadline) : nshm_topic_latest(t, after, to.room, room, &w, deadline)))
            break;
        look_at(&w);
        after = w.number;
        break;
    case 4:
        if (!end("next", nshm_topic_next(t, after, to.room, LARGE, &w, deadline))) look_at(&w), after = w.number;
        break;
    case 5:
        if (end("in place", nshm_topic_latest(t, after, NULL, 0, &w, deadline))) break;
        look_at(&w);
        nshm_topic_valid(t, &w);
        break;
    case 6:
        if (end("pin", below(2) ? nshm_topic_pin(t, after, to.room, LARGE, &w, deadline) : nshm_topic_pin_next(t, after, to.room, LARGE, &w, deadline)))
            break;
        look_at(&w);
        begin();
        end("release", nshm_topic_release(t, &w));
        break;
    case 7: end("sweep", nshm__topic_sweep(t)); break;
    case 8:
        if (readers_only || below(20)) break;
        end("end", nshm_topic_end(t));
        break;
    default:
        nshm_topic_stat(t, &s);
        nshm_topic_waiting(t);
        while (!nshm_topic_next_participant(t, &cursor, &p)) {}
        end("look", 0);
    }
    for (size_t i = 0; i < sizeof to.before; i++)
        if (to.before[i] != MARK || to.after[i] != MARK) violation(CANARY, "written beside the buffer");
}
static void be_a_victim(void) {
    nshm_topic t;
    while (!world->over) {
        t.handle = template;
        begin();
        if (end("open", nshm__topic_attach(&t, memory, size, wishes))) {
            count(REFUSED);
            usleep(200);
            continue;
        }
        t.spin = 0;
        for (int i = 0; i < 200 && !world->over; i++) use(&t);
        begin();
        nshm__topic_leave(&t);
        end("leave", 0);
    }
    _exit(0);
}
static char *between_guards(uint64_t n) {
    char *p = mmap(NULL, nshm_page_round(n) + 8192, PROT_NONE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED || mprotect(p + 4096, nshm_page_round(n), PROT_READ | PROT_WRITE)) broken("mmap");
    return p + 4096;
}
static void play_round(int round) {
    nshm_topic_offsets o;
    pid_t kids[VICTIMS + 1];
    int status;
    start = starting(HISTORY, INLINE, 3, 3, LARGE);
    start.mode = round % 2 ? NSHM_TOPIC_ENDS : 0;
    start.schema = "schema";
    start.schema_size = 6;
    readers_only = round % 4 == 2;
    if (nshm__topic_layout(&start, &o)) broken("layout");
    size = o.size;
    control = o.data;
    memory = between_guards(size);
    wishes = (uint32_t *)between_guards(NSHM_TOPIC_ROOM);
    nshm__topic_format(memory, &start, &o);
    world->over = 0;
    for (int i = 0; i <= VICTIMS; i++) {
        uint64_t salt = random_word();
        if ((kids[i] = fork_known()) < 0) broken("fork");
        if (kids[i]) continue;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        stir(salt);
        if (i == VICTIMS && readers_only) annoy();
        if (i == VICTIMS) scribble(below(4) ? offsetof(nshm_topic_head, had_writer) : 0); /* else soon nobody can open it */
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
    munmap((char *)wishes - 4096, 4096 + 8192);
}

int main(int argc, char **argv) {
    double limit = argc > 1 ? atof(argv[1]) : 5, since;
    nshm_topic t;
    int rounds = 0;
    enter_own_world();
    stir(argc > 2 ? strtoull(argv[2], NULL, 0) : 1);
    world = shared_memory(sizeof *world);
    begin_tally();
    begin_scope("hostile");
    start = starting(4, 16, 0, 1, 16);
    make_topic(&t); /* its place is where proofs of life are made and asked for */
    template = t.handle;
    for (since = seconds(); seconds() - since < limit && !all_violations(); rounds++) play_round(rounds);
    printf("rounds=%d seconds=%.1f", rounds, seconds() - since);
    print_tally();
    return all_violations() ? CAUGHT : 0;
}
