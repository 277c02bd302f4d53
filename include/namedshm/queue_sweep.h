/* namedshm/queue_sweep.h - what the dead left: their chunks, their messages, their entries.
 *
 * Nobody is in charge of it: whoever misses something looks (no chunk is free, the table is full, there is nothing to take).
 *
 * Phases, with what each needs the one before for:
 *   1. Who is dead?  Without a lock.  They do nothing any more: what they published is published.
 *   2. The get lock: nothing leaves the ring, nobody joins, leaves or is swept.
 *   3. Which chunks are in the ring?  1 came before: who lives now may publish afterwards and then die.
 *   4. A chunk that is not in the ring, of an owner that is dead by 1 or has no entry any more: free.  With acknowledgement and a
 *      consumer's: it stays, and the one that was taken first becomes ours, to be delivered again.
 *   5. The entries of the dead, if they are still what 1 saw: free.  No chunk needs them: one whose owner has no entry is found by that.
 * Each step is one store, so a kill leaves a part, which the next sweep does.
 *
 * Owns:   the scratch area of a handle, one thread at a time.
 * Needs:  queue_chunks.h, queue_slots.h.
 */
#ifndef NAMEDSHM_PART_QUEUE_SWEEP_H
#define NAMEDSHM_PART_QUEUE_SWEEP_H
#include "queue_chunks.h"
#include "queue_slots.h"

typedef struct {
    unsigned char *dead, *ring; /* by entry; by chunk */
    uint64_t *seen;             /* words of the entries */
} nshm__scratch;

static inline size_t nshm__queue_scratch_size(const nshm_queue *q) { return (size_t)q->participants * 9 + q->chunks + 8; }
static inline nshm__scratch nshm__queue_scratch(const nshm_queue *q) {
    nshm__scratch s;
    s.seen = (uint64_t *)q->scratch;
    s.dead = q->scratch + (size_t)q->participants * 8;
    s.ring = s.dead + q->participants;
    return s;
}

/* 1.  Is there anything to do? */
static inline int nshm__queue_find_dead(nshm_queue *q, const nshm__scratch *s) {
    int any = 0;
    for (uint32_t i = 0; i < q->participants; i++) {
        s->seen[i] = nshm__peek(&q->entries[i].word, ACQUIRE);
        s->dead[i] = s->seen[i] && i != q->entry && !nshm__queue_lives(q, &q->entries[i]);
        any |= s->dead[i];
    }
    NSHM_STEP("dead known");
    for (uint32_t c = 0; c < q->chunks && !any; c++) { /* an owner without an entry: it left, or was swept */
        uint64_t owner = nshm__peek(&q->chunk[c].owner, RELAXED);
        uint32_t entry = (uint32_t)owner >> 8;
        any = owner && (entry >= q->participants || s->seen[entry] >> 8 != owner >> 32);
    }
    return any;
}
/* 3. */
static inline void nshm__queue_mark_ring(nshm_queue *q, const nshm__scratch *s) {
    uint64_t t = nshm__peek(&q->head->get.cursor, RELAXED);
    memset(s->ring, 0, q->chunks);
    for (uint32_t i = 0; i < q->capacity; i++) {
        uint64_t *slot = nshm__queue_slot(q, t + i), header = nshm__peek(slot, ACQUIRE);
        if (!nshm__queue_published(header, t + i)) break;
        uint32_t c = nshm__peek(nshm__queue_named(slot), RELAXED);
        if ((header & NSHM__IN_CHUNK) && c < q->chunks) s->ring[c] = 1;
    }
    NSHM_STEP("ring known");
}
/* Is this owner dead by 1, or has it no entry? */
static inline int nshm__queue_orphaned(const nshm_queue *q, const nshm__scratch *s, uint64_t owner) {
    uint32_t entry = (uint32_t)owner >> 8;
    if (entry >= q->participants || nshm__peek(&q->entries[entry].word, RELAXED) >> 8 != owner >> 32) return 1;
    return s->dead[entry] && s->seen[entry] >> 8 == owner >> 32;
}
/* The message in an orphan becomes ours: 1 or 0. */
static inline int nshm__queue_adopt(nshm_queue *q, uint32_t c, nshm_queue_window *w) {
    uint64_t owner = nshm__peek(&q->chunk[c].owner, ACQUIRE), length = nshm__peek(&q->chunk[c].length, RELAXED);
    if ((owner & 0xff) != NSHM_CONSUMER || length > q->message_max || nshm__queue_back(q, c)) return 0;
    if (!nshm__trade(&q->chunk[c].owner, &owner, q->id | NSHM_CONSUMER, ACQ_REL)) return 0;
    NSHM_STEP("adopted");
    w->chunk = c;
    w->length = length;
    w->position = nshm__peek(&q->chunk[c].position, RELAXED);
    w->data = q->data + c * q->chunk_size;
    w->redelivered = 1;
    __atomic_fetch_add(&q->head->redelivered, 1, __ATOMIC_RELAXED);
    return 1;
}
/* 4.  How many became free; *adopted: one became ours; *more: another one waits for a consumer. */
static inline int nshm__queue_reclaim(nshm_queue *q, const nshm__scratch *s, nshm_queue_window *adopt, int *adopted, int *more) {
    uint32_t first = NSHM_QUEUE_NONE;
    uint64_t taken = 0;
    int freed = 0;
    for (uint32_t c = 0; c < q->chunks; c++) {
        uint64_t owner = nshm__peek(&q->chunk[c].owner, ACQUIRE), position;
        if (!owner || s->ring[c] || !nshm__queue_orphaned(q, s, owner)) continue;
        NSHM_STEP("reclaiming");
        if ((q->mode & NSHM_QUEUE_ACK) && (owner & 0xff) == NSHM_CONSUMER) {
            position = nshm__peek(&q->chunk[c].position, RELAXED);
            *more += 1;
            if (first != NSHM_QUEUE_NONE && (int64_t)(position - taken) >= 0) continue;
            first = c;
            taken = position;
        } else if (nshm__trade(&q->chunk[c].owner, &owner, 0, ACQ_REL)) {
            nshm__queue_offer(q, c);
            freed++;
        }
    }
    *adopted = adopt && first != NSHM_QUEUE_NONE && nshm__queue_adopt(q, first, adopt);
    *more -= *adopted;
    return freed;
}
/* Look for what the dead left.  `adopt`: where a message to be delivered again goes, or NULL.  1: something was found; 0; or an error. */
static inline int nshm__queue_sweep(nshm_queue *q, nshm_queue_window *adopt) {
    nshm_queue_head *h = q->head;
    nshm__scratch s = nshm__queue_scratch(q);
    int r = 0, freed, adopted = 0, more = 0;
    nshm__poke(&q->swept, nshm_now(), RELAXED);
    if (__atomic_exchange_n(&q->sweeping, 1, __ATOMIC_ACQUIRE)) return 0;
    if (!nshm__queue_may_tell(q) || !nshm__queue_find_dead(q, &s) || (r = nshm__queue_lock(&h->get.lock, 0))) {
        nshm__poke(&q->sweeping, 0, RELEASE);
        return r;
    }
    nshm__poke(&h->returned, 0, RELAXED);
    nshm__queue_mark_ring(q, &s);
    freed = nshm__queue_reclaim(q, &s, adopt, &adopted, &more);
    if (more) nshm__poke(&h->returned, 1, RELAXED); /* for the next consumer */
    NSHM_STEP("burying");
    for (uint32_t i = 0; i < q->participants; i++)
        if (s.dead[i] && nshm__peek(&q->entries[i].word, RELAXED) == s.seen[i]) nshm__poke(&q->entries[i].word, 0, RELEASE);
    nshm__queue_unlock(&h->get.lock, 1);
    nshm__poke(&q->sweeping, 0, RELEASE);
    if (freed) nshm__queue_alert(&h->pool.lock, freed);
    if (more) nshm__queue_alert(&h->put.lock, more);
    return freed || adopted;
}
/* The same, if nobody here has just looked. */
static inline int nshm__queue_sweep_after(nshm_queue *q, int64_t pause) {
    return nshm_now() - nshm__peek(&q->swept, RELAXED) < pause ? 0 : nshm__queue_sweep(q, NULL);
}
/* With acknowledgement, before each take: a message to be delivered again.  1: `w` has it; 0: none is known of; or an error.  One that
 * was returned is told by a word; for those of the dead we look now and then, and only if somebody holds messages. */
static inline int nshm__queue_again(nshm_queue *q, nshm_queue_window *w) {
    if (!nshm__peek(&q->head->returned, ACQUIRE)) {
        int64_t now = nshm_now();
        if (now - nshm__peek(&q->swept, RELAXED) < NSHM_QUEUE_GLANCE / 2) return 0;
        nshm__poke(&q->swept, now, RELAXED);
        if (!nshm__queue_held(q)) return 0;
    }
    w->redelivered = 0;
    int r = nshm__queue_sweep(q, w);
    return r < 0 ? r : w->redelivered;
}
#endif
