/* namedshm/sync_event.h - taking, setting, resetting and pulsing an event.
 *
 * Owns:   a set or a pulse reaches who waited before it, even if the event is reset at once: `pulse` counts them, and each wait
 *         remembers the count at which it began.  The word is pending from before a change until the waiters were woken.
 * Needs:  sync_futex.h, sync_thread.h.
 */
#ifndef NAMEDSHM_PART_SYNC_EVENT_H
#define NAMEDSHM_PART_SYNC_EVENT_H
#include "sync_futex.h"
#include "sync_thread.h"

/* Not to be seen in the state any more: was a manual event set or pulsed since the wait began; or has an auto-reset one been
 * pulsed, and nobody taken that pulse yet? */
static inline int nshm__pulsed(const nshm_waitee *o) {
    uint32_t p = __atomic_load_n(&o->words->pulse, __ATOMIC_SEQ_CST);
    return p >> 1 != o->pulse >> 1 && (o->manual || (p & 1));
}
/* 0, -EAGAIN: not set, -EBUSY: reserved, see nshm_settle. */
static inline int nshm__try_event(nshm_waitee *o) {
    nshm_words *w = o->words;
    uint32_t v = __atomic_load_n(&w->state, __ATOMIC_SEQ_CST), p;
    if (v & NSHM_RESERVED) return -EBUSY;
    if (o->manual) return v || nshm__pulsed(o) ? 0 : -EAGAIN;
    while (v && !(v & NSHM_RESERVED))
        if (__atomic_compare_exchange_n(&w->state, &v, 0, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) return 0;
    if (v & NSHM_RESERVED) return -EBUSY;
    p = __atomic_load_n(&w->pulse, __ATOMIC_ACQUIRE); /* a pulse is for one waiter, which began to wait before it */
    if ((p & 1) && p >> 1 != o->pulse >> 1 &&
        __atomic_compare_exchange_n(&w->pulse, &p, p & ~1u, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
        return 0;
    return -EAGAIN;
}

static inline int nshm_event_set(nshm_waitee *o) {
    nshm_words *w = o->words;
    uint32_t v = __atomic_load_n(&w->state, __ATOMIC_SEQ_CST);
    nshm__tid();
    if (v & NSHM_RESERVED) return -EBUSY;
    nshm__pending(&w->state);
    if (o->manual) __atomic_fetch_add(&w->pulse, 2, __ATOMIC_SEQ_CST); /* who waits now is released, even if it is reset at once */
    for (v = __atomic_load_n(&w->state, __ATOMIC_SEQ_CST); !(v & NSHM_RESERVED);)
        /* If it is set already, it stays so: sets are not counted. */
        if (v || __atomic_compare_exchange_n(&w->state, &v, NSHM_SET, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) break;
    NSHM_STEP("set");
    /* Also if it was set already: who set it may have been killed before waking. */
    if (!(v & NSHM_RESERVED)) nshm__wake_for(w, o->manual ? INT_MAX : 1);
    nshm__pending(NULL);
    return v & NSHM_RESERVED ? -EBUSY : 0;
}
static inline int nshm_event_reset(nshm_waitee *o) {
    uint32_t v = __atomic_load_n(&o->words->state, __ATOMIC_SEQ_CST);
    do {
        if (v & NSHM_RESERVED) return -EBUSY;
    } while (v && !__atomic_compare_exchange_n(&o->words->state, &v, 0, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
    return 0;
}
static inline int nshm_event_pulse(nshm_waitee *o) {
    nshm_words *w = o->words;
    int r = nshm_event_reset(o);
    if (r || !__atomic_load_n(&w->waiters, __ATOMIC_SEQ_CST)) return r;
    nshm__tid();
    nshm__pending(&w->state);
    uint32_t p = __atomic_load_n(&w->pulse, __ATOMIC_SEQ_CST);
    while (!__atomic_compare_exchange_n(&w->pulse, &p, ((p >> 1) + 1) << 1 | !o->manual, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        ;
    NSHM_STEP("pulsed");
    nshm__wake(&w->state, INT_MAX);
    nshm__pending(NULL);
    return 0;
}
#endif
