/* storm.c - producers and consumers are killed at random moments and at random steps, 4 by 4 at once; an oracle outside of the queue says
 * what was lost, doubled, reordered, torn, stuck or leaked.
 *
 *   storm ROUNDS SEED SECONDS KIND [ODDS]    KIND: inline, many, chunk, mixed, ack, tiny; ODDS: one self-kill in so many steps
 *
 * Each message carries its producer's incarnation, a number, its length and a checksum over everything.  Who takes a message writes it
 * into the journal, at its position, before it is released.  A round: some hundred kills of a fresh queue; then producers stop, and
 * consumers take until all producers are gone (NSHM_QUEUE_ENDS).  Then:
 *
 *   TORN     a checksum, a length or a number is wrong
 *   DOUBLE   a position was taken twice (with acknowledgement: by somebody who was not told that it comes again)
 *   ORDER    a producer's numbers do not grow with the positions
 *   LOST     a number up to the last that was put for sure is missing, and no killed consumer can have taken it
 *   GHOST    a number that was never put
 *   STUCK    there are messages and consumers, and nothing moves
 *   LEAKED   all are gone, and a chunk, an entry or a segment is somebody's
 *   ERR      an operation says something it should not
 */
#include "../crash/common.h"
static void at_step(const char *what);
#define NSHM_STEP(what) at_step(what)
#include "queues.h"

enum { TORN, DOUBLE, ORDER, LOST, GHOST, STUCK, LEAKED, ERR, VIOLATIONS };
static const char *violation_name[VIOLATIONS] = {"torn", "double", "order", "lost", "ghost", "stuck", "leaked", "err"};
enum { MESSAGES, KILLS, SELFKILLS, TAKEN_ALONG, REDELIVERED, AGAIN, LOANS, TIMEOUTS, COUNTERS };
static const char *counter_name[COUNTERS] = {"messages", "kills", "selfkills", "taken_along", "redelivered", "again", "loans", "timeouts"};
#include "../crash/tally.h"

enum { PRODUCERS = 4, CONSUMERS = 4, KIDS = PRODUCERS + CONSUMERS, PATIENCE = 8, JOURNAL = 1 << 21, INCARNATIONS = 1 << 13, BATCH = 8 };
typedef struct {
    _Atomic uint64_t begun, put; /* numbers: the last that may have been put; the last that was for sure */
} producer_record;
static struct {
    _Atomic int stop, over;
    producer_record producer[INCARNATIONS];
    _Atomic uint64_t journal[JOURNAL]; /* incarnation << 40 | number */
} *world;

typedef struct {
    uint32_t incarnation, length;
    uint64_t number, sum;
} heading;

static struct {
    const char *name;
    uint32_t capacity, inline_max, chunks, mode, small, large; /* small, large: most bytes of a message; 0: none of that kind */
    int many;
} kinds[] = {
    {"inline", 16, 120, 0, 0, 120, 0, 0},      {"many", 32, 120, 0, 0, 120, 0, 1},
    {"chunk", 16, 8, 12, 0, 0, 20000, 1},      {"mixed", 16, 120, 10, 0, 120, 9000, 1},
    {"ack", 16, 8, 16, NSHM_QUEUE_ACK, 0, 3000, 1}, {"tiny", 1, 120, 0, 0, 120, 0, 1},
};
enum { KINDS = sizeof kinds / sizeof *kinds };
static int kind;
static uint64_t countdown; /* steps until this process kills itself; 0: never */

static void at_step(const char *what) {
    (void)what;
    if (!countdown || --countdown) return;
    count(SELFKILLS);
    kill(getpid(), SIGKILL);
}

/* ------------------------------------------------------------------------------------------------ messages */
static uint64_t sum_of(const char *p, size_t n, uint32_t incarnation, uint64_t number) {
    uint64_t h = incarnation * 0x9e3779b97f4a7c15ULL ^ number, word;
    for (; n >= 8; n -= 8, p += 8) {
        memcpy(&word, p, 8);
        h = (h ^ word) * 0xff51afd7ed558ccdULL;
        h ^= h >> 29;
    }
    while (n--) h = (h ^ (unsigned char)*p++) * 0x100000001b3ULL;
    return h;
}
static void fill(char *to, uint32_t incarnation, uint64_t number, uint32_t length) {
    heading h = {incarnation, length, number, 0};
    uint64_t x = incarnation * 1000003ULL + number * 7919;
    for (uint32_t i = sizeof h; i < length; i += 8) {
        x = x * 6364136223846793005ULL + 1442695040888963407ULL;
        memcpy(to + i, &x, length - i < 8 ? length - i : 8);
    }
    h.sum = sum_of(to + sizeof h, length - sizeof h, incarnation, number);
    memcpy(to, &h, sizeof h);
}
static void received(const nshm_queue_window *w) {
    heading h = {0, 0, 0, 0};
    if (w->length >= sizeof h) memcpy(&h, w->data, sizeof h);
    if (w->length < sizeof h || h.length != w->length || h.incarnation >= INCARNATIONS || w->position >= JOURNAL ||
        sum_of((const char *)w->data + sizeof h, h.length - sizeof h, h.incarnation, h.number) != h.sum) {
        violation(TORN, "position %lu, %lu bytes", w->position, w->length);
        return;
    }
    uint64_t it = (uint64_t)h.incarnation << 40 | h.number, before = atomic_exchange(&world->journal[w->position], it);
    count(MESSAGES);
    if (w->redelivered) count(REDELIVERED);
    if (before && w->redelivered && before == it) count(AGAIN);
    else if (before) violation(DOUBLE, "position %lu: %lx and %lx", w->position, before, it);
}
static int64_t some_deadline(void) {
    uint32_t dice = below(4);
    return dice == 0 ? 0 : dice == 1 ? nshm_now() + below(3000000) : INT64_MAX;
}
static uint32_t some_length(void) {
    uint32_t small = kinds[kind].small, large = kinds[kind].large;
    uint32_t most = large && (!small || below(2)) ? large : small;
    return (uint32_t)sizeof(heading) + below(most - (uint32_t)sizeof(heading) + 1);
}
static void failed(const char *what, int r) {
    if (r == -ETIMEDOUT || r == -EAGAIN) count(TIMEOUTS);
    else if (r != -EPIPE) violation(ERR, "%s: %s", what, strerror(-r));
}

/* ------------------------------------------------------------------------------------------------ producers and consumers */
static void put_some(nshm_queue *q, producer_record *me, uint32_t incarnation, uint64_t *number, char *buffer) {
    const void *from[BATCH];
    uint64_t lengths[BATCH];
    int n = kinds[kind].many && below(2) ? 1 + (int)below(BATCH) : 1, r;
    char *at = buffer;
    for (int i = 0; i < n; i++, at += (lengths[i - 1] + 7) & ~7ull) {
        uint32_t length = some_length();
        fill(at, incarnation, *number + (uint64_t)i, length);
        from[i] = at;
        lengths[i] = length;
    }
    me->begun = *number + (uint64_t)n - 1;
    r = nshm_queue_put_many(q, from, lengths, n, some_deadline());
    if (r <= 0) return failed("put", r);
    *number += (uint64_t)r;
    me->put = *number - 1;
}
static void lend_one(nshm_queue *q, producer_record *me, uint32_t incarnation, uint64_t *number) {
    nshm_queue_window w;
    int r = nshm_queue_loan(q, &w, some_deadline());
    if (r) return failed("loan", r);
    count(LOANS);
    uint32_t length = some_length();
    fill(w.data, incarnation, *number, length);
    if (!below(8)) {
        if ((r = nshm_queue_abandon(q, &w))) violation(ERR, "abandon: %s", strerror(-r));
        return;
    }
    me->begun = *number;
    if ((r = nshm_queue_commit(q, &w, length, some_deadline()))) {
        failed("commit", r);
        if ((r = nshm_queue_abandon(q, &w))) violation(ERR, "abandon after a commit: %s", strerror(-r));
        return;
    }
    me->put = (*number)++;
}
static void produce(nshm_queue *q, uint32_t incarnation) {
    static char buffer[BATCH * 20008];
    producer_record *me = &world->producer[incarnation];
    uint64_t number = 1;
    while (!world->stop) {
        q->spin = below(3) ? 0 : below(20000);
        if (kinds[kind].large && !below(4)) lend_one(q, me, incarnation, &number);
        else put_some(q, me, incarnation, &number, buffer);
        if (!below(64)) usleep(below(1500));
    }
}
static void consume(nshm_queue *q) {
    static char buffer[BATCH * 128];
    nshm_queue_window w[BATCH];
    while (!world->over) {
        int n = kinds[kind].many && below(2) ? BATCH : 1, r;
        q->spin = below(3) ? 0 : below(20000);
        r = nshm_queue_take_many(q, buffer, sizeof buffer, w, n, some_deadline());
        if (r == -EPIPE && world->stop) return; /* all producers are gone, and nothing is left */
        if (r <= 0) failed("take", r);
        if (r == -EPIPE) usleep(200);
        for (int i = 0; i < r; i++) received(&w[i]);
        if (!below(64)) usleep(below(1500));
        for (int i = 0, e; i < r; i++) {
            if (kinds[kind].mode & NSHM_QUEUE_ACK && !below(20)) e = nshm_queue_return(q, &w[i]);
            else e = nshm_queue_release(q, &w[i]);
            if (e) violation(ERR, "release: %s", strerror(-e));
        }
    }
}

/* ------------------------------------------------------------------------------------------------ a round */
static pid_t kids[KIDS];
static uint32_t incarnations;
static long dead_consumers;
static int odds;

static void start_kid(int i, int mortal) {
    uint64_t salt = random_word();
    uint32_t incarnation = i < PRODUCERS ? ++incarnations : 0;
    if (incarnation >= INCARNATIONS) broken("too many incarnations");
    pid_t pid = fork_known();
    if (pid < 0) broken("fork");
    kids[i] = pid;
    if (pid) return;
    nshm_queue q;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    stir(salt);
    if (mortal) countdown = 1 + below(odds > 0 ? (uint32_t)odds : 8u << below(14));
    open_queue(&q, i < PRODUCERS ? NSHM_PRODUCER : NSHM_CONSUMER);
    if (i < PRODUCERS) produce(&q, incarnation);
    else consume(&q);
    countdown = 0;
    nshm_queue_close(&q);
    _exit(0);
}
/* Bury who has ended: how many.  `again`: they are followed by others. */
static int bury(int again) {
    int status, n = 0;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        for (int i = 0; i < KIDS; i++) {
            if (kids[i] != pid) continue;
            kids[i] = 0;
            n++;
            if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
                count(KILLS);
                dead_consumers += i >= PRODUCERS;
            } else if (status) violation(ERR, "a process ended with %x", status);
            if (again || (i >= PRODUCERS && WIFSIGNALED(status))) start_kid(i, again && below(2));
        }
    return n;
}
static int living(void) {
    int n = 0;
    for (int i = 0; i < KIDS; i++) n += kids[i] != 0;
    return n;
}
static void rage(nshm_queue *q, int kills) {
    uint64_t moved = 0, now;
    double since = seconds();
    for (int dead = 0; dead < kills && !all_violations();) {
        usleep(below(1500));
        int i = (int)below(KIDS);
        if (!below(3) && kids[i]) kill(kids[i], SIGKILL);
        dead += bury(1);
        now = nshm__peek(&q->head->get.cursor, RELAXED);
        if (now != moved) {
            moved = now;
            since = seconds();
        } else if (seconds() - since > PATIENCE) violation(STUCK, "at %lu, %u waiting", now, nshm_queue_count(q));
        if (now > JOURNAL - 100000) return;
    }
}
static void calm_down(nshm_queue *q) {
    double since = seconds();
    world->stop = 1;
    while (living()) {
        bury(0);
        usleep(500);
        if (seconds() - since < PATIENCE) continue;
        violation(STUCK, "%d do not end, %u waiting", living(), nshm_queue_count(q));
        world->over = 1;
        for (int i = 0; i < KIDS; i++)
            if (kids[i]) kill(kids[i], SIGKILL), waitpid(kids[i], NULL, 0), kids[i] = 0;
    }
}
static void judge(nshm_queue *q) {
    static uint64_t last[INCARNATIONS], had[INCARNATIONS];
    uint64_t end = nshm__peek(&q->head->get.cursor, RELAXED), missing = 0, holes = 0;
    uint64_t allowed = kinds[kind].mode & NSHM_QUEUE_ACK ? 0 : (uint64_t)dead_consumers * (kinds[kind].many ? BATCH : 1);
    memset(last, 0, sizeof last);
    memset(had, 0, sizeof had);
    if (nshm_queue_count(q)) violation(STUCK, "%u are left", nshm_queue_count(q));
    for (uint64_t i = 0; i < end && i < JOURNAL; i++) {
        uint64_t it = world->journal[i], number = it & 0xffffffffffULL;
        uint32_t incarnation = (uint32_t)(it >> 40);
        world->journal[i] = 0;
        if (!it) {
            missing++;
            continue;
        }
        if (number <= last[incarnation]) violation(ORDER, "producer %u: %lu after %lu", incarnation, number, last[incarnation]);
        last[incarnation] = number;
        had[incarnation]++;
    }
    for (uint32_t i = 1; i <= incarnations; i++) {
        producer_record *p = &world->producer[i];
        holes += (last[i] > p->put ? last[i] : p->put) - had[i];
        if (last[i] > p->begun) violation(GHOST, "producer %u: %lu of %lu", i, last[i], p->begun);
        p->begun = p->put = 0;
    }
    if (missing > allowed) violation(LOST, "%lu positions, at most %lu can be with killed consumers", missing, allowed);
    if (holes > missing) violation(LOST, "%lu numbers are missing, %lu positions", holes, missing);
    atomic_fetch_add(&tally->counters[TAKEN_ALONG], (long)missing);
}
static void play_round(long round) {
    nshm_queue q;
    (void)round;
    world->stop = world->over = 0;
    incarnations = 0;
    dead_consumers = 0;
    make_queue(&q);
    for (int i = 0; i < KIDS; i++) start_kid(i, below(2));
    rage(&q, 60 + (int)below(60));
    calm_down(&q);
    judge(&q);
    for (int i = 0; i < 2; i++)
        if (nshm__queue_sweep(&q, NULL) < 0) violation(ERR, "sweep");
    if (left_over(&q)) violation(LEAKED, "%d chunks or entries", left_over(&q));
    nshm_queue_close(&q);
    leftovers left = find_leftovers(NSHM_REGISTRY_SIZE, NSHM_REGISTRY_SPAN);
    if (left.strays || left.keyed > 1) violation(LEAKED, "%d segments, %d with the key", left.strays, left.keyed);
}

int main(int argc, char **argv) {
    long rounds = argc > 1 ? atol(argv[1]) : 1, round;
    double limit = argc > 3 ? atof(argv[3]) : 60, begun;
    const char *name = argc > 4 ? argv[4] : kinds[0].name;
    odds = argc > 5 ? atoi(argv[5]) : -1;
    for (kind = 0; kind < KINDS && strcmp(kinds[kind].name, name); kind++) {}
    if (kind == KINDS) return fprintf(stderr, "usage: storm ROUNDS SEED SECONDS KIND [ODDS]\n"), BROKEN;
    enter_own_world();
    stir(argc > 2 ? strtoull(argv[2], NULL, 0) : 1);
    world = shared_memory(sizeof *world);
    begin_tally();
    begin_scope("storm");
    start = starting(kinds[kind].capacity, kinds[kind].inline_max, kinds[kind].chunks, kinds[kind].mode | NSHM_QUEUE_ENDS,
                     kinds[kind].large ? kinds[kind].large : kinds[kind].small);
    start.participants = 64;
    begun = seconds();
    for (round = 0; round < rounds && seconds() - begun < limit && !all_violations(); round++) play_round(round);
    printf("rounds=%ld seconds=%.1f", round, seconds() - begun);
    print_tally();
    return all_violations() ? CAUGHT : 0;
}
