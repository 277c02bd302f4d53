/* namedshm/topic_ring.h - the ring: publishing values, and reading them.
 *
 * Owns:   a value exists by one release store, `latest`.  So a death under the writers' lock needs no repair: what was not
 *         published does not exist, and the next writer gives the number again.  What the ring tells of a value is a seqlock, too:
 *         `number` is 0 while the rest changes.  The ring has more room than the history, so what is being written is not of the
 *         history.  While a value is of the history, nothing of it changes.  So who finds it changed and still of the history knows
 *         that somebody wrote over the topic.
 * Needs:  slots.h, topic_frames.h, topic_system.h.
 */
#ifndef NAMEDSHM_PART_TOPIC_RING_H
#define NAMEDSHM_PART_TOPIC_RING_H
#include "slots.h"
#include "topic_frames.h"
#include "topic_system.h"

/* Copying a value in, and out of where it may be written over meanwhile: what was read is believed only after the state, or the
 * number, was looked at again.  The language calls that a race, and so does ThreadSanitizer: for it, and only for it, the same is
 * done by atomic words. */
static inline void nshm__topic_copy_in(void *to, const void *from, size_t n) {
#ifdef __SANITIZE_THREAD__
    nshm__put(to, from, n);
#else
    memcpy(to, from, n);
#endif
}
static inline void nshm__topic_copy_out(void *to, const void *from, size_t n) {
#ifdef __SANITIZE_THREAD__
    nshm__get(to, from, n);
#else
    memcpy(to, from, n);
#endif
}

/* ------------------------------------------------------------------------------------------------ publishing
 * Publish w->frame, which is ours, or, with NSHM_TOPIC_NONE, `length` bytes that fit into the ring.  w->number becomes the value's;
 * *wishes: as they were before (see topic_wait.h).  -EPIPE: the topic was ended. */
static inline int nshm__topic_publish(nshm_topic *t, nshm_topic_window *w, const void *data, uint64_t length, int64_t deadline,
                                      uint32_t *wishes) {
    uint32_t frame = w->frame;
    nshm_topic_head *h = t->head;
    int r;
    /* no page of the caller's is missing under the lock, as far as that can be said */
    if (frame == NSHM_TOPIC_NONE && length) (void)*(const volatile char *)data, (void)((const volatile char *)data)[length - 1];
    if ((r = nshm__topic_lock(&h->lock, deadline))) return r; /* a locked operation: streaming stores are done before it */
    uint64_t word = nshm__peek(&h->latest, RELAXED), number = (word >> 1) + 1;
    if (word & 1) {
        nshm__topic_unlock(&h->lock);
        return -EPIPE;
    }
    *wishes = nshm__peek(t->wishes, RELAXED); /* before `latest` changes */
    nshm_topic_value *v = nshm__topic_value(t, number);
    nshm__poke(&v->number, 0, RELEASE); /* release: who sees it sees that the old value has gone */
    __atomic_thread_fence(__ATOMIC_RELEASE);
    NSHM_STEP("opened");
    nshm__poke(&v->length, length, RELAXED);
    nshm__poke(&v->time, nshm_now(), RELAXED);
    nshm__poke(&v->frame, frame, RELAXED);
    if (frame == NSHM_TOPIC_NONE && length) nshm__topic_copy_in(v + 1, data, length);
    NSHM_STEP("filled");
    nshm__poke(&v->number, number, RELEASE);
    NSHM_STEP("closed");
    if (frame != NSHM_TOPIC_NONE) nshm__poke(&t->frame[frame].state, number << 1, RELEASE);
    NSHM_STEP("publishing");
    nshm__poke(&h->latest, number << 1, RELEASE); /* it exists from here on */
    NSHM_STEP("published");
    nshm__poke(&h->bytes, nshm__peek(&h->bytes, RELAXED) + length, RELAXED);
    nshm__topic_unlock(&h->lock);
    w->number = number;
    return 0;
}

/* ------------------------------------------------------------------------------------------------ reading
 * What the ring tells of a value: a whole copy, checked.  -ESTALE: it has been overtaken; -EUCLEAN. */
static inline int nshm__topic_tell(const nshm_topic *t, uint64_t number, nshm_topic_window *w) {
    nshm_topic_value *v = nshm__topic_value(t, number);
    if (nshm__peek(&v->number, ACQUIRE) != number) return -ESTALE;
    w->number = number;
    w->length = nshm__peek(&v->length, RELAXED);
    w->time = nshm__peek(&v->time, RELAXED);
    w->frame = nshm__peek(&v->frame, RELAXED);
    w->holder = 0;
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (nshm__peek(&v->number, RELAXED) != number) return -ESTALE;
    if (w->length > t->value_max) return -EUCLEAN;
    if (w->frame == NSHM_TOPIC_NONE) {
        w->data = v + 1;
        return w->length > t->inline_max ? -EUCLEAN : 0;
    }
    if (w->frame >= t->frames) return -EUCLEAN;
    w->data = nshm__topic_at(t, w->frame);
    return nshm__peek(&t->frame[w->frame].state, ACQUIRE) == number << 1 ? 0 : -ESTALE;
}
/* Is what was read up to now what was published?  For windows without a pin. */
static inline int nshm__topic_stands(const nshm_topic *t, const nshm_topic_window *w) {
    __atomic_thread_fence(__ATOMIC_ACQUIRE); /* what was read has been read before this looks */
    if (w->frame == NSHM_TOPIC_NONE) return nshm__peek(&nshm__topic_value(t, w->number)->number, RELAXED) == w->number;
    return w->frame < t->frames && nshm__peek(&t->frame[w->frame].state, RELAXED) == w->number << 1;
}
/* How a value is wanted: the oldest that is there, or the newest; where it lies, copied to a buffer, or pinned by that bit. */
typedef struct {
    int oldest;
    void *buffer; /* NULL: where it lies */
    uint64_t room, bit; /* bit: 0: not pinned.  A value without a frame is copied then */
} nshm__wish;
static inline int nshm__topic_fetch(const nshm_topic *t, uint64_t number, const nshm__wish *how, nshm_topic_window *w) {
    int r = nshm__topic_tell(t, number, w);
    if (r) return r;
    NSHM_STEP("told");
    if (how->bit && w->frame != NSHM_TOPIC_NONE) return nshm__topic_hold(t, w->frame, number, how->bit) ? 0 : -ESTALE;
    if (!how->buffer && !how->bit) return 0;
    if (w->length > how->room || (w->length && !how->buffer)) return -EMSGSIZE;
    if (w->length) nshm__topic_copy_out(how->buffer, w->data, w->length);
    NSHM_STEP("copied");
    if (!nshm__topic_stands(t, w)) return -ESTALE;
    w->data = how->buffer;
    return 0;
}
/* A value newer than `after`.  -EAGAIN: there is none; -EBUSY: overtaken again and again; -EMSGSIZE, -EUCLEAN. */
static inline int nshm__topic_get(const nshm_topic *t, uint64_t after, const nshm__wish *how, nshm_topic_window *w) {
    for (int i = 0; i < NSHM_TOPIC_TRIES; i++) {
        uint64_t latest = nshm__topic_latest(t), number = latest;
        if (latest <= after) return -EAGAIN;
        if (how->oldest) number = latest - after <= t->history ? after + 1 : latest - t->history + 1;
        int r = nshm__topic_fetch(t, number, how, w);
        w->missed = number - after - 1;
        if (r != -ESTALE) return r;
        __atomic_thread_fence(__ATOMIC_ACQUIRE); /* who sees the change sees what allowed it */
        if (nshm__topic_latest(t) - number < t->history) return -EUCLEAN; /* it is of the history, and changed */
    }
    return -EBUSY;
}
#endif
