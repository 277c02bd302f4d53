/* namedshm/topic_frames.h - frames: who fills which, and who keeps which from being written over.
 *
 *     free --claim--> a writer's --publish--> has a value --(out of the history) claim--> a writer's
 *                     a writer's --abandon--> free
 *
 * Owns:   a frame's state changes before the frame is written over, so whoever reads it without a pin finds out, by looking at the
 *         state after reading (a seqlock).  A pin against a claim, as in Dekker's algorithm: the claimer changes the state, then
 *         looks at the pins; the pinner sets its bit, then looks at the state.  Whichever comes second sees the other.  A pin is a
 *         bit and not a count: after a kill it is known whose it was.
 * Needs:  topic_types.h.
 */
#ifndef NAMEDSHM_PART_TOPIC_FRAMES_H
#define NAMEDSHM_PART_TOPIC_FRAMES_H
#include "topic_types.h"

static inline char *nshm__topic_at(const nshm_topic *t, uint32_t f) { return t->data + (uint64_t)f * t->frame_size; }
static inline nshm_topic_value *nshm__topic_value(const nshm_topic *t, uint64_t number) {
    return (nshm_topic_value *)(t->ring + (number & (t->ring_size - 1)) * t->stride);
}
static inline uint64_t nshm__topic_latest(const nshm_topic *t) { return nshm__peek(&t->head->latest, ACQUIRE) >> 1; }

/* ------------------------------------------------------------------------------------------------ claiming
 * `latest`: as read (acquire) before.  1: the frame is ours, and nobody else reads it believing what he reads. */
static inline int nshm__topic_claim(nshm_topic *t, uint32_t f, uint64_t latest, uint64_t id) {
    nshm_topic_frame *frame = &t->frame[f];
    uint64_t was = nshm__peek(&frame->state, RELAXED), state = was;
    if ((was & 1) || (was && (was >> 1) + t->history > latest) || nshm__peek(&frame->pins, RELAXED)) return 0;
    NSHM_STEP("claiming");
    if (!nshm__trade(&frame->state, &state, id, SEQ_CST)) return 0; /* from here on those without a pin are overtaken */
    NSHM_STEP("claimed");
    if (!nshm__peek(&frame->pins, SEQ_CST)) {
        __atomic_thread_fence(__ATOMIC_SEQ_CST); /* nothing is written before, streaming stores included: a release fence would not do */
        return 1;
    }
    nshm__poke(&frame->state, was, RELEASE); /* it was pinned before */
    NSHM_STEP("unclaimed");
    return 0;
}
/* A frame for us, or NSHM_TOPIC_NONE.  First the one that has just left the history: with it the same few go round, and are warm.
 * Then any other, the lowest first, so the highest never get pages. */
static inline uint32_t nshm__topic_borrow(nshm_topic *t, uint64_t id) {
    uint64_t latest = nshm__topic_latest(t);
    if (latest > t->history) {
        uint32_t f = nshm__peek(&nshm__topic_value(t, latest - t->history)->frame, RELAXED);
        if (f < t->frames && nshm__topic_claim(t, f, latest, id)) return f;
    }
    for (uint32_t f = 0; f < t->frames; f++)
        if (nshm__topic_claim(t, f, latest, id)) return f;
    return NSHM_TOPIC_NONE;
}
/* -EUCLEAN: it is not ours. */
static inline int nshm__topic_give_back(nshm_topic *t, uint32_t f, uint64_t id) {
    return nshm__trade(&t->frame[f].state, &id, 0, RELEASE) ? 0 : -EUCLEAN;
}

/* ------------------------------------------------------------------------------------------------ pinning
 * Pin a frame that has this value.  1; 0: it has been claimed. */
static inline int nshm__topic_hold(const nshm_topic *t, uint32_t f, uint64_t number, uint64_t bit) {
    nshm_topic_frame *frame = &t->frame[f];
    NSHM_STEP("pinning");
    __atomic_fetch_or(&frame->pins, bit, __ATOMIC_SEQ_CST);
    NSHM_STEP("pinned");
    if (nshm__peek(&frame->state, SEQ_CST) == number << 1) return 1; /* who claims it later sees the bit */
    __atomic_fetch_and(&frame->pins, ~bit, __ATOMIC_RELEASE);
    return 0;
}
static inline void nshm__topic_let_go(const nshm_topic *t, uint32_t f, uint64_t bit) {
    __atomic_fetch_and(&t->frame[f].pins, ~bit, __ATOMIC_RELEASE); /* release: what we read has been read */
    NSHM_STEP("unpinned");
}
#endif
