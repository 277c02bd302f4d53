/* namedshm/topic_sweep.h - what the dead left: their frames, their pins, their places.
 *
 * Nobody is in charge of it: whoever misses something looks (no frame is free, no place is).
 *
 * Phases, with what each needs the one before for:
 *   1. Who is dead?  Without a lock.  They do nothing any more.
 *   2. The lock of the table: nobody joins, leaves or is swept.
 *   3. A frame whose writer is dead by 1, or has no place any more: free.  The pins of the dead: taken off.
 *   4. The places of the dead, if they are still what 1 saw: free.  After 3: who takes a place over must not find its bit set.
 *   5. The writers' lock: nobody publishes.  A frame that was given a number and is not the one that the ring names for it: its
 *      writer was killed before the value existed.  Free, else a row of such deaths would use up the frames.
 * Each step is one store, so a kill leaves a part, which the next sweep does.
 *
 * Owns:   nothing.
 * Needs:  topic_ring.h.
 */
#ifndef NAMEDSHM_PART_TOPIC_SWEEP_H
#define NAMEDSHM_PART_TOPIC_SWEEP_H
#include "topic_ring.h"

typedef struct {
    uint64_t seen[2 * NSHM_TOPIC_PLACES_MAX]; /* words of the places */
    unsigned char dead[2 * NSHM_TOPIC_PLACES_MAX];
} nshm__topic_census;

/* 1. */
static inline void nshm__topic_find_dead(const nshm_topic *t, nshm__topic_census *c) {
    for (uint32_t i = 0; i < t->pins + t->writers; i++) {
        c->seen[i] = nshm__peek(&t->places[i].word, ACQUIRE);
        c->dead[i] = c->seen[i] && !nshm__topic_lives(t, &t->places[i]);
    }
    NSHM_STEP("dead known");
}
/* 3.  Is the writer that fills it dead by 1, or has it no place? */
static inline int nshm__topic_orphaned(const nshm_topic *t, const nshm__topic_census *c, uint64_t state) {
    uint32_t i = (uint32_t)state >> 8;
    return i < t->pins || i >= t->pins + t->writers || c->dead[i] || nshm__peek(&t->places[i].word, RELAXED) >> 8 != state >> 32;
}
static inline int nshm__topic_clear_frames(nshm_topic *t, const nshm__topic_census *c) {
    uint64_t bits = 0;
    int freed = 0;
    for (uint32_t i = 0; i < t->pins; i++)
        if (c->dead[i] || !nshm__peek(&t->places[i].word, RELAXED)) bits |= nshm__place_bit(i);
    for (uint32_t f = 0; f < t->frames; f++) {
        uint64_t state = nshm__peek(&t->frame[f].state, ACQUIRE);
        if ((state & 1) && nshm__topic_orphaned(t, c, state)) freed += nshm__trade(&t->frame[f].state, &state, 0, ACQ_REL);
        if (!(nshm__peek(&t->frame[f].pins, RELAXED) & bits)) continue;
        __atomic_fetch_and(&t->frame[f].pins, ~bits, __ATOMIC_ACQ_REL);
        freed++;
    }
    return freed;
}
/* 5. */
static inline int nshm__topic_clear_unnamed(nshm_topic *t) {
    uint64_t latest = nshm__peek(&t->head->latest, RELAXED) >> 1;
    int freed = 0;
    for (uint32_t f = 0; f < t->frames; f++) {
        uint64_t state = nshm__peek(&t->frame[f].state, RELAXED), number = state >> 1;
        if (!state || (state & 1) || number + t->history <= latest) continue;
        if (number <= latest && nshm__peek(&nshm__topic_value(t, number)->frame, RELAXED) == f) continue;
        freed += nshm__trade(&t->frame[f].state, &state, 0, ACQ_REL);
    }
    return freed;
}
/* How much was freed, or an error. */
static __attribute__((noinline, unused)) int nshm__topic_sweep(nshm_topic *t) {
    nshm__topic_census c;
    int r, freed;
    if (!nshm__topic_may_tell(t)) return 0;
    nshm__topic_find_dead(t, &c);
    if ((r = nshm__topic_lock(&t->head->table, 0))) return r;
    for (uint32_t i = 0; i < t->pins + t->writers; i++)
        if (c.dead[i] && nshm__peek(&t->places[i].word, RELAXED) != c.seen[i]) c.dead[i] = 0; /* somebody was faster */
    freed = nshm__topic_clear_frames(t, &c);
    NSHM_STEP("burying");
    for (uint32_t i = 0; i < t->pins + t->writers; i++)
        if (c.dead[i]) {
            nshm__poke(&t->places[i].word, 0, RELEASE);
            freed++;
        }
    nshm__topic_unlock(&t->head->table);
    if ((r = nshm__topic_lock(&t->head->lock, 0))) return r;
    freed += nshm__topic_clear_unnamed(t);
    nshm__topic_unlock(&t->head->lock);
    return freed;
}
#endif
