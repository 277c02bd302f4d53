/* oracle.h - what the storms of both systems share: who puts, who takes, and what is wrong with what came out.
 *
 * Each message carries its producer's incarnation, a number, its length and a checksum over everything.  Who takes a message writes it
 * into the journal, at its position, before it is released.  Then:
 *
 *   TORN     a checksum, a length or a number is wrong
 *   DOUBLE   a position was taken twice (with acknowledgement: by somebody who was not told that it comes again)
 *   ORDER    a producer's numbers do not grow with the positions
 *   LOST     a number up to the last that was put for sure is missing, and no killed consumer can have taken it
 *   GHOST    a number that was never put
 *   STUCK    there are messages and consumers, and nothing moves
 *   LEAKED   all are gone, and a chunk, an entry or a segment is somebody's
 *   ERR      an operation says something it should not
 *
 * Before it is included: common.h or what stands for it, and namedshm_queue.h.
 */
#ifndef CRASH_QUEUE_ORACLE_H
#define CRASH_QUEUE_ORACLE_H
#include <inttypes.h>
#include <stdatomic.h>
#include <unistd.h>

enum { TORN, DOUBLE, ORDER, LOST, GHOST, STUCK, LEAKED, ERR, VIOLATIONS };
static const char *violation_name[VIOLATIONS] = {"torn", "double", "order", "lost", "ghost", "stuck", "leaked", "err"};
enum { MESSAGES, KILLS, SELFKILLS, TAKEN_ALONG, REDELIVERED, AGAIN, LOANS, TIMEOUTS, COUNTERS };
static const char *counter_name[COUNTERS] = {"messages", "kills", "selfkills", "taken_along", "redelivered", "again", "loans", "timeouts"};
#include "../crash/tally.h"

#ifndef JOURNAL
#define JOURNAL (1 << 21)
#endif
enum { PRODUCERS = 4, CONSUMERS = 4, KIDS = PRODUCERS + CONSUMERS, INCARNATIONS = 1 << 13, BATCH = 8 };
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
        violation(TORN, "position %" PRIu64 ", %" PRIu64 " bytes", w->position, w->length);
        return;
    }
    uint64_t it = (uint64_t)h.incarnation << 40 | h.number, before = atomic_exchange(&world->journal[w->position], it);
    count(MESSAGES);
    if (w->redelivered) count(REDELIVERED);
    if (before && w->redelivered && before == it) count(AGAIN);
    else if (before) violation(DOUBLE, "position %" PRIu64 ": %" PRIx64 " and %" PRIx64, w->position, before, it);
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

/* ------------------------------------------------------------------------------------------------ in the end */
static uint32_t incarnations;
static long dead_consumers;

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
        if (number <= last[incarnation]) violation(ORDER, "producer %u: %" PRIu64 " after %" PRIu64, incarnation, number, last[incarnation]);
        last[incarnation] = number;
        had[incarnation]++;
    }
    for (uint32_t i = 1; i <= incarnations; i++) {
        producer_record *p = &world->producer[i];
        holes += (last[i] > p->put ? last[i] : p->put) - had[i];
        if (last[i] > p->begun) violation(GHOST, "producer %u: %" PRIu64 " of %" PRIu64, i, last[i], p->begun);
        p->begun = p->put = 0;
    }
    if (missing > allowed) violation(LOST, "%" PRIu64 " positions, at most %" PRIu64 " can be with killed consumers", missing, allowed);
    if (holes > missing) violation(LOST, "%" PRIu64 " numbers are missing, %" PRIu64 " positions", holes, missing);
    atomic_fetch_add(&tally->counters[TAKEN_ALONG], (long)missing);
}
#endif
