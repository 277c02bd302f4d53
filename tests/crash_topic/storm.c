/* storm.c - writers and readers are killed and stopped at random moments and at random steps; an oracle outside of the topic says what was torn,
 * given twice, went backwards, is stuck or leaked.
 *
 *   storm ROUNDS SEED SECONDS KIND [ODDS]    KIND: ring, frames, mixed, pins, ends, tight; ODDS: one self-kill in so many steps
 *
 * Each value carries its writer's incarnation, a number of its own, its length and a checksum over everything.  Who publishes or reads a value
 * writes what it is into the journal, at its number in the topic.  A round: some dozens of kills with a fresh topic; then it is ended, or (ends) all
 * writers leave, and all readers come to an end.  Then:
 *
 *   TORN       a checksum, a length or a number is wrong, and the reader was not told that he was overtaken
 *   DOUBLE     a number was given to two values
 *   ORDER      a writer's own numbers do not grow with those of the topic
 *   BACKWARDS  a reader got a value that is not newer, or was told a wrong number of those he missed
 *   LOST       what was published is not the last value, and no later one is
 *   STUCK      nothing moves, or somebody does not come to an end
 *   LEAKED     all are gone, and a frame, a pin, a place or a segment is somebody's
 *   ERR        an operation says something it should not
 */
#include "../crash/common.h"
static void at_step(const char *what);
#define NSHM_STEP(what) at_step(what)
#include "topics.h"

enum { TORN, DOUBLE, ORDER, BACKWARDS, LOST, STUCK, LEAKED, ERR, VIOLATIONS };
static const char *violation_name[VIOLATIONS] = {"torn", "double", "order", "backwards", "lost", "stuck", "leaked", "err"};
enum { PUBLISHED, READS, PINNED, KILLS, SELFKILLS, STOPS, MISSED, OVERTAKEN, BUSY, WAITS, COUNTERS };
static const char *counter_name[COUNTERS] = {"published", "reads", "pinned", "kills", "selfkills", "stops", "missed", "overtaken", "busy", "waits"};
#include "../crash/tally.h"

enum { WRITERS = 3, READERS = 5, KIDS = WRITERS + READERS, PATIENCE = 8, JOURNAL = 1 << 21, INCARNATIONS = 1 << 13 };
static struct {
    _Atomic int stop;
    _Atomic uint64_t journal[JOURNAL]; /* incarnation << 40 | own number */
} *world;

typedef struct {
    uint32_t incarnation, length;
    uint64_t number, sum;
} heading;
static struct {
    const char *name;
    uint32_t history, inline_max, pins, writers, small, large; /* small, large: most bytes of a value; 0: none of that kind */
    int ends;
} kinds[] = {
    {"ring", 4, 200, 0, 4, 200, 0, 0},       {"frames", 3, 0, 0, 4, 0, 30000, 0},    {"mixed", 8, 120, 6, 4, 120, 9000, 0},
    {"pins", 2, 0, 7, 4, 0, 5000, 0},        {"ends", 4, 64, 6, 4, 64, 2000, 1},     {"tight", 1, 32, 5, 3, 0, 3000, 0},
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

/* ------------------------------------------------------------------------------------------------ values */
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
static uint32_t some_length(void) {
    uint32_t small = kinds[kind].small, large = kinds[kind].large;
    uint32_t most = large && (!small || below(2)) ? large : small;
    return (uint32_t)sizeof(heading) + below(most - (uint32_t)sizeof(heading) + 1);
}
static void note(uint64_t number, uint64_t it) {
    uint64_t before = 0;
    if (number >= JOURNAL) world->stop = 1;
    else if (!atomic_compare_exchange_strong(&world->journal[number], &before, it) && before != it)
        violation(DOUBLE, "number %lu: %lx and %lx", number, before, it);
}
/* Is it whole?  What it is goes to *it. */
static int whole(const char *data, uint64_t length, uint64_t *it) {
    heading h = {0, 0, 0, 0};
    if (length >= sizeof h) memcpy(&h, data, sizeof h);
    *it = (uint64_t)h.incarnation << 40 | h.number;
    return length >= sizeof h && h.length == length && h.incarnation < INCARNATIONS &&
           sum_of(data + sizeof h, length - sizeof h, h.incarnation, h.number) == h.sum;
}

/* ------------------------------------------------------------------------------------------------ writers and readers */
static int64_t some_deadline(void) {
    uint32_t dice = below(4);
    return dice == 0 ? 0 : dice == 1 ? nshm_now() + below(3000000) : INT64_MAX;
}
static void failed(const char *what, int r) {
    if (r == -EBUSY) count(BUSY);
    else if (r != -ETIMEDOUT && r != -EAGAIN && r != -EPIPE) violation(ERR, "%s: %s", what, strerror(-r));
}
/* All places may be those of processes that are dying just now, of which the kernel does not say so yet. */
static void take_part(nshm_topic *t, uint32_t role) {
    double since = seconds();
    int r;
    while ((r = nshm_topic_join(t, role)) == -ENFILE && seconds() - since < PATIENCE) usleep(200);
    if (r) violation(ERR, "join: %s", strerror(-r));
}
static void write_one(nshm_topic *t, uint32_t incarnation, uint64_t own) {
    static char buffer[30008];
    uint32_t length = some_length();
    uint64_t number = 0;
    int r;
    if (t->frames && below(2)) {
        nshm_topic_window w;
        if ((r = nshm_topic_loan(t, &w, INT64_MAX))) return failed("loan", r);
        fill(w.data, incarnation, own, length);
        if (!below(8)) {
            if ((r = nshm_topic_abandon(t, &w))) violation(ERR, "abandon: %s", strerror(-r));
            return;
        }
        if ((r = nshm_topic_commit(t, &w, length, INT64_MAX))) return failed("commit", r), (void)nshm_topic_abandon(t, &w);
        number = w.number;
    } else {
        fill(buffer, incarnation, own, length);
        if ((r = nshm_topic_publish(t, buffer, length, INT64_MAX, &number))) return failed("publish", r);
    }
    count(PUBLISHED);
    note(number, (uint64_t)incarnation << 40 | own);
    if (nshm_topic_number(t) < number) violation(LOST, "number %lu, the last one is %lu", number, nshm_topic_number(t));
}
static void write_on(nshm_topic *t, uint32_t incarnation) {
    take_part(t, NSHM_WRITER);
    for (uint64_t own = 1; !world->stop; own++) {
        write_one(t, incarnation, own);
        if (!below(16)) usleep(below(1000));
        if (!below(3)) sched_yield();
    }
}
/* One value: 1; 0: none, and the wait was in vain; -1: the end. */
static int read_one(nshm_topic *t, uint64_t *after) {
    static char buffer[30008];
    nshm_topic_window w;
    uint64_t it, was = *after;
    int pins = !t->handle.readonly && t->pins && below(2), next = (int)below(2), in_place = !pins && !below(3), r;
    int64_t deadline = some_deadline();
    void *to = in_place ? NULL : buffer;
    if (pins) r = next ? nshm_topic_pin_next(t, was, to, sizeof buffer, &w, deadline) : nshm_topic_pin(t, was, to, sizeof buffer, &w, deadline);
    else r = next ? nshm_topic_next(t, was, to, sizeof buffer, &w, deadline) : nshm_topic_latest(t, was, to, sizeof buffer, &w, deadline);
    if (r == -EPIPE) return -1;
    if (r) {
        if (r == -ETIMEDOUT) count(WAITS);
        failed("read", r);
        return 0;
    }
    if (pins && w.holder && !below(20)) usleep(below(3000)); /* whatever happens meanwhile */
    if (in_place && !below(4)) usleep(below(500));
    int good = whole(w.data, w.length, &it);
    if (in_place && !nshm_topic_valid(t, &w)) {
        count(OVERTAKEN);
        return 0;
    }
    if (!good) violation(TORN, "number %lu, %lu bytes, frame %x%s", w.number, w.length, w.frame, pins ? ", pinned" : in_place ? ", in place" : "");
    else note(w.number, it);
    if (w.number <= was || w.missed != w.number - was - 1) violation(BACKWARDS, "%lu after %lu, %lu missed", w.number, was, w.missed);
    count(READS);
    atomic_fetch_add_explicit(&tally->counters[MISSED], (long)w.missed, memory_order_relaxed);
    *after = w.number;
    if (w.holder) count(PINNED);
    if (pins && (r = nshm_topic_release(t, &w))) violation(ERR, "release: %s", strerror(-r));
    return 1;
}
static void read_on(nshm_topic *t) {
    uint64_t after = 0;
    double since = seconds();
    if (!t->handle.readonly && t->pins) take_part(t, NSHM_PINNER);
    for (int r; (r = read_one(t, &after)) >= 0 || (kinds[kind].ends && !world->stop);) { /* "ends": there is no writer for a moment */
        if (r > 0) since = seconds();
        t->spin = below(3) ? 0 : below(20000);
        if (!below(32)) usleep(below(1500));
        if (seconds() - since > 2 * PATIENCE) return violation(STUCK, "a reader at %lu, the last one is %lu", after, nshm_topic_number(t));
    }
}

/* ------------------------------------------------------------------------------------------------ a round */
static pid_t kids[KIDS];
static uint32_t incarnations;
static int odds;

static void start_kid(int i, int mortal) {
    uint64_t salt = random_word();
    uint32_t incarnation = i < WRITERS ? ++incarnations : 0;
    if (incarnation >= INCARNATIONS) broken("too many incarnations");
    pid_t pid = fork_known();
    if (pid < 0) broken("fork");
    kids[i] = pid;
    if (pid) return;
    nshm_topic t;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    stir(salt);
    if (mortal) countdown = 1 + below(odds > 0 ? (uint32_t)odds : 8u << below(14));
    open_topic(&t, i < WRITERS || (kinds[kind].pins && i % 2) ? 0 : NSHM_READONLY);
    if (i < WRITERS) write_on(&t, incarnation);
    else read_on(&t);
    countdown = 0;
    nshm_topic_close(&t);
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
            if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) count(KILLS);
            else if (status) violation(ERR, "a process ended with %x", status);
            if (again) start_kid(i, (int)below(2));
        }
    return n;
}
static int living(void) {
    int n = 0;
    for (int i = 0; i < KIDS; i++) n += kids[i] != 0;
    return n;
}
static void rage(nshm_topic *t, int kills) {
    uint64_t moved = 0, now;
    double since = seconds();
    for (int dead = 0; dead < kills && !all_violations() && !world->stop;) {
        usleep(below(1500));
        int i = (int)below(KIDS);
        if (!below(3) && kids[i]) kill(kids[i], SIGKILL);
        else if (!below(8) && kids[i]) { /* wherever it is: a loan, a pin, for an instant perhaps the lock */
            kill(kids[i], SIGSTOP);
            usleep(below(8000));
            if (below(2)) kill(kids[i], SIGKILL);
            kill(kids[i], SIGCONT);
            count(STOPS);
        }
        dead += bury(1);
        now = nshm_topic_number(t);
        if (now != moved) {
            moved = now;
            since = seconds();
        } else if (seconds() - since > PATIENCE) violation(STUCK, "at %lu", now);
        if (now > JOURNAL - 200000) return;
    }
}
static void calm_down(nshm_topic *t) {
    double since = seconds();
    int r;
    world->stop = 1;
    if (!kinds[kind].ends && (r = nshm_topic_end(t))) violation(ERR, "end: %s", strerror(-r));
    while (living()) {
        bury(0);
        usleep(500);
        if (seconds() - since < PATIENCE) continue;
        violation(STUCK, "%d do not end, at %lu", living(), nshm_topic_number(t));
        for (int i = 0; i < KIDS; i++)
            if (kids[i]) kill(kids[i], SIGKILL), waitpid(kids[i], NULL, 0), kids[i] = 0;
    }
}
static void judge(nshm_topic *t) {
    static uint64_t last[INCARNATIONS];
    uint64_t end = nshm_topic_number(t), after = end > t->history ? end - t->history : 0, it;
    char buffer[30008];
    nshm_topic_window w;
    int r;
    for (; after < end; after++) { /* the history is there, whoever died */
        if ((r = nshm_topic_next(t, after, buffer, sizeof buffer, &w, 0)) || w.number != after + 1) violation(LOST, "number %lu: %s", after + 1, strerror(-r));
        else if (!whole(buffer, w.length, &it)) violation(TORN, "number %lu at the end", after + 1);
        else note(after + 1, it);
    }
    memset(last, 0, sizeof last);
    for (uint64_t i = 0; i < JOURNAL && (i <= end || world->journal[i]); i++) {
        uint64_t entry = world->journal[i], number = entry & 0xffffffffffULL;
        uint32_t incarnation = (uint32_t)(entry >> 40);
        world->journal[i] = 0;
        if (!entry) continue; /* nobody read it, and its writer was killed before it could say so */
        if (i > end) violation(LOST, "number %lu, the last one is %lu", i, end);
        if (number <= last[incarnation]) violation(ORDER, "writer %u: %lu after %lu", incarnation, number, last[incarnation]);
        last[incarnation] = number;
    }
}
static void play_round(void) {
    nshm_topic t;
    world->stop = 0;
    incarnations = 0;
    make_topic(&t);
    for (int i = 0; i < KIDS; i++) start_kid(i, (int)below(2));
    rage(&t, 40 + (int)below(40));
    calm_down(&t);
    judge(&t);
    if (nshm__topic_sweep(&t) < 0 || nshm__topic_sweep(&t) < 0) violation(ERR, "sweep");
    if (left_over(&t) || unnamed(&t)) violation(LEAKED, "%d frames, pins or places, %d frames of nobody", left_over(&t), unnamed(&t));
    nshm_topic_close(&t);
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
    start = starting(kinds[kind].history, kinds[kind].inline_max, kinds[kind].pins, kinds[kind].writers,
                     kinds[kind].large ? kinds[kind].large : kinds[kind].small);
    if (kinds[kind].ends) start.mode = NSHM_TOPIC_ENDS;
    begun = seconds();
    for (round = 0; round < rounds && seconds() - begun < limit && !all_violations(); round++) play_round();
    printf("rounds=%ld seconds=%.1f", round, seconds() - begun);
    print_tally();
    return all_violations() ? CAUGHT : 0;
}
