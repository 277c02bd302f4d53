/* namedshm/sync_object.h - an object of any type: trying it, beginning to sleep on it, and leaving it.
 *
 * Owns:   no wake-up is lost between a look and a sleep: a sleeper raises `waiters`, then the kernel compares the word; a changer changes
 *         the word, then looks at `waiters`.  One of the two sees the other (Dekker).
 *         Nobody sleeps on a reservation, for whoever should end it may be dead.
 * Needs:  sync_event.h, sync_semaphore.h, sync_settle.h.
 */
#ifndef NAMEDSHM_PART_SYNC_OBJECT_H
#define NAMEDSHM_PART_SYNC_OBJECT_H
#include "sync_event.h"
#include "sync_semaphore.h"
#include "sync_settle.h"

/* Take it: 0; NSHM_ABANDONED: taken from a dead owner; -EAGAIN: not signaled; -EBUSY: look again soon, see nshm_settle. */
static inline int nshm__try(nshm_waitee *o) {
    switch (o->type) {
    case NSHM_MUTEX: return nshm__try_mutex(o);
    case NSHM_EVENT: return nshm__try_event(o);
    case NSHM_SEMAPHORE: return nshm__try_semaphore(o);
    default: return -EINVAL;
    }
}

static inline int nshm__signaled(nshm_waitee *o) { /* whether it is reserved or not, for reservations end soon */
    uint32_t v = __atomic_load_n(&o->words->state, __ATOMIC_SEQ_CST);
    if (o->type == NSHM_MUTEX) return !(v & FUTEX_TID_MASK & ~NSHM_RESERVED_MUTEX) || nshm__held_index(o->identity) >= 0;
    return (v & ~NSHM_RESERVED) != 0;
}

/* What to sleep on, after `waiters` was raised: how many entries of v, or -EAGAIN if it is worth another try.  For a manual
 * event there are two: it may be set and reset before we sleep, and then only `pulse` has changed. */
static inline int nshm__arm(nshm_waitee *o, int all, struct nshm__waitv *v) {
    nshm_words *w = o->words;
    uint32_t s = __atomic_load_n(&w->state, __ATOMIC_SEQ_CST), p;
    if (s & nshm__bit(o)) return -EAGAIN;
    if (o->type == NSHM_MUTEX) {
        for (;;) {
            if (!(s & FUTEX_TID_MASK) || (s & NSHM_RESERVED_MUTEX)) return -EAGAIN;
            if (s & FUTEX_WAITERS) break;
            if (__atomic_compare_exchange_n(&w->state, &s, s | FUTEX_WAITERS, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
                s |= FUTEX_WAITERS;
                break;
            }
        }
    } else if (s) {
        return -EAGAIN;
    }
    v[0] = nshm__while(&w->state, s);
    if (o->type != NSHM_EVENT || all) return 1; /* a wait for all looks at the state alone */
    p = __atomic_load_n(&w->pulse, __ATOMIC_SEQ_CST);
    if (nshm__pulsed(o)) return -EAGAIN;
    v[1] = nshm__while(&w->pulse, p); /* `p` was read before this look: a later pulse makes the kernel's comparison fail */
    return o->manual ? 2 : 1;
}
/* Done sleeping.  If the object can still be taken, others who sleep must not depend on the wake-up that came to us. */
static inline void nshm__leave(nshm_waitee *o) {
    nshm_words *w = o->words;
    if (!__atomic_sub_fetch(&w->waiters, 1, __ATOMIC_SEQ_CST)) return;
    uint32_t v = __atomic_load_n(&w->state, __ATOMIC_SEQ_CST);
    if (o->type == NSHM_MUTEX) {
        while ((v & FUTEX_TID_MASK) && !(v & FUTEX_WAITERS))
            if (__atomic_compare_exchange_n(&w->state, &v, v | FUTEX_WAITERS, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) return;
        if (!(v & FUTEX_TID_MASK)) nshm__wake(&w->state, 1);
    } else if (o->manual) { /* it was for all who slept, also if it has been reset since */
        if (v || nshm__pulsed(o)) nshm__wake(&w->state, INT_MAX);
    } else if (v) {
        nshm__wake(&w->state, 1);
    }
}
#endif
