/* namedshm/queue_chunks.h - chunks: who owns which, borrowing and giving back.
 *
 *     free --loan--> its producer's --(published, still its producer's)--> its consumer's --release--> free
 *                    its producer's --abandon--> free                      its consumer's --return--> nobody's, to be delivered again
 *                                                                          its consumer's --acknowledge--> its own, as a loan is
 *
 * Owns:   the owner word is the truth, and changes by compare-and-swap of the whole word; the bits are a hint.  A kill in between
 *         leaves a bit wrong, which costs a look at the words.
 *         The lowest free chunk comes first: the same few are used, and warm, and the others never get pages.  Large ones are taken by
 *         turns, of the first NSHM_QUEUE_WARM bytes: a large chunk that was just written lies in its writer's cache, and a reader on
 *         another processor gets it from there line by line; some chunks later it lies where both get it.
 *         No lock is needed but for who sleeps for a chunk: giving one back is an unlock of the pool.
 * Needs:  queue_system.h.
 */
#ifndef NAMEDSHM_PART_QUEUE_CHUNKS_H
#define NAMEDSHM_PART_QUEUE_CHUNKS_H
#include "queue_system.h"

/* Of a message that was returned: no entry has that number, so whoever looks for what the dead left finds it. */
#define NSHM__NOBODY (0xffffffull << 8)

static inline int nshm__queue_claim(nshm_queue *q, uint32_t c) {
    uint64_t nobody = 0;
    return !nshm__peek(&q->chunk[c].owner, RELAXED) && nshm__trade(&q->chunk[c].owner, &nobody, q->id | NSHM_PRODUCER, ACQUIRE);
}
/* The first chunk from `from` on and below `end` that the bits call free, and that is. */
static inline uint32_t nshm__queue_pick(nshm_queue *q, uint32_t from, uint32_t end) {
    for (uint32_t w = from / 64; w * 64 < end; w++) {
        uint64_t b = nshm__peek(&q->bits[w], RELAXED);
        if (w == from / 64) b &= ~0ull << from % 64;
        for (; b; b &= b - 1) {
            uint32_t c = w * 64 + (uint32_t)__builtin_ctzll(b);
            if (c >= end) break;
            __atomic_fetch_and(&q->bits[w], ~(1ull << c % 64), __ATOMIC_RELAXED);
            NSHM_STEP("claiming");
            if (!nshm__queue_claim(q, c)) continue;
            NSHM_STEP("claimed");
            return c;
        }
    }
    return NSHM_QUEUE_NONE;
}
/* A free chunk becomes ours: its number, or NSHM_QUEUE_NONE.  Acquire: whoever gave it back has done with it. */
static inline uint32_t nshm__queue_borrow(nshm_queue *q) {
    uint32_t c = nshm__queue_pick(q, nshm__peek(&q->turn, RELAXED), q->warm);
    if (c == NSHM_QUEUE_NONE) c = nshm__queue_pick(q, 0, q->chunks);
    for (uint32_t k = 0; c == NSHM_QUEUE_NONE && k < q->chunks; k++)
        if (nshm__queue_claim(q, k)) c = k;
    if (c < q->warm) nshm__poke(&q->turn, c + 1 < q->warm ? c + 1 : 0, RELAXED);
    return c;
}
static inline int nshm__queue_dry(nshm_queue *q) {
    for (uint32_t c = 0; c < q->chunks; c++)
        if (!nshm__peek(&q->chunk[c].owner, RELAXED)) return 0;
    return 1;
}
static inline void nshm__queue_offer(nshm_queue *q, uint32_t c) { __atomic_fetch_or(&q->bits[c / 64], 1ull << c % 64, __ATOMIC_RELAXED); }

/* Give a chunk of ours up.  `role`: what we are to it.  `to`: 0, free; or NSHM__NOBODY and a role.  -EUCLEAN: it is not ours. */
static inline int nshm__queue_give_by(nshm_queue *q, uint32_t c, uint32_t role, uint64_t to, int64_t deadline) {
    uint32_t *lock = to ? &q->head->put.lock : &q->head->pool.lock; /* who sleeps for it */
    uint64_t mine = q->id | role;
    int r = nshm__queue_lock(lock, deadline), ok;
    if (r) return r;
    ok = nshm__trade(&q->chunk[c].owner, &mine, to, RELEASE); /* release: we have done with it */
    NSHM_STEP("given");
    if (ok && !to) nshm__queue_offer(q, c);
    if (ok && to) nshm__poke(&q->head->returned, 1, RELEASE);
    nshm__queue_unlock(lock, 1);
    return ok ? 0 : -EUCLEAN;
}
static inline int nshm__queue_give(nshm_queue *q, uint32_t c, uint32_t role, uint64_t to) {
    return nshm__queue_give_by(q, c, role, to, 0);
}
/* A message of ours is done with and still looked at: the chunk becomes what a loan is, which is ours, and free when we are dead.  It is not
 * in the ring, whose cursor has passed it, so no sweep takes it for a message. */
static inline int nshm__queue_settle(nshm_queue *q, uint32_t c) {
    uint64_t mine = q->id | NSHM_CONSUMER;
    return nshm__trade(&q->chunk[c].owner, &mine, q->id | NSHM_PRODUCER, RELEASE) ? 0 : -EUCLEAN;
}
/* Does a consumer other than this handle have messages that it has not acknowledged, or has one been returned?  A look at all of them. */
static inline int nshm__queue_held(nshm_queue *q) {
    for (uint32_t c = 0; c < q->chunks; c++) {
        uint64_t owner = nshm__peek(&q->chunk[c].owner, RELAXED);
        if ((owner & 0xff) == NSHM_CONSUMER && (owner & ~0xffull) != q->id) return 1;
    }
    return 0;
}
#endif
