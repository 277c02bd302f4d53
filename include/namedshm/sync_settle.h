/* namedshm/sync_settle.h - what to do after -EBUSY: until a reservation has ended, or a contradiction.
 *
 * Owns:   a reservation is made and taken off under a registry's lock.  So one that is there when we hold that lock is a dead process's,
 *         and we take it off.
 * Needs:  sync_mutex.h.
 */
#ifndef NAMEDSHM_PART_SYNC_SETTLE_H
#define NAMEDSHM_PART_SYNC_SETTLE_H
#include "sync_mutex.h"

static inline uint32_t nshm__bit(const nshm_waitee *o) { return o->type == NSHM_MUTEX ? NSHM_RESERVED_MUTEX : NSHM_RESERVED; }

/* A registry's lock, waiting for it until then.  0, -ETIMEDOUT, -EINTR. */
static inline int nshm__lock_registry(nshm_registry *t, int64_t until) {
    int r;
    uint32_t slept = 0;
    /* A thread has one pending word, and now that is the lock: who sleeps on the other word must not depend on us. */
    if (nshm__me.keep) nshm__wake(nshm__me.keep, 1);
    for (int spins = 0; (r = nshm__lock(t, 0)) == -EBUSY; spins++) {
        uint32_t v = __atomic_load_n(&t->lock, __ATOMIC_RELAXED);
        int64_t left = until - nshm_now();
        if (left <= 0) {
            r = -ETIMEDOUT;
            break;
        }
        if (spins < 40) {
            sched_yield();
            continue;
        }
        if (!(v & FUTEX_TID_MASK)) continue;
        if (!(v & FUTEX_WAITERS) && !__atomic_compare_exchange_n(&t->lock, &v, v | FUTEX_WAITERS, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) continue;
        struct timespec nap = {0, left < 100000000 ? left : 100000000};
        slept = FUTEX_WAITERS;
        if (syscall(SYS_futex, &t->lock, FUTEX_WAIT, v | FUTEX_WAITERS, &nap, NULL, 0) && errno == EINTR) {
            r = -EINTR;
            break;
        }
    }
    if (r) nshm__pending(NULL);
    else if (slept) __atomic_fetch_or(&t->lock, slept, __ATOMIC_RELAXED); /* others may sleep as well */
    return r;
}
static inline void nshm__unlock_registry(nshm_registry *t) {
    nshm__unlock(t);
    nshm__pending(NULL);
}
static inline int nshm__nap(int64_t until) { /* a millisecond at most */
    int64_t left = until - nshm_now();
    struct timespec nap = {0, left < 1000000 ? left : 1000000};
    if (left <= 0) return -ETIMEDOUT;
    return nanosleep(&nap, NULL) ? -EINTR : 0;
}

/* What -EBUSY can mean:
 *   - a reservation.  It lasts microseconds.  Where we may not have the lock that tells a dead process's (Global, without the right to
 *     create), we wait for it to end.
 *   - a mutex whose word and private page contradict each other: see nshm__claim. */
static inline int nshm_settle(nshm_waitee *o, int64_t until) {
    nshm_registry *t = o->place->writable ? o->place->registry : NULL;
    int64_t tampered = nshm_now() + NSHM_TAMPERED;
    int r;
    nshm__tid();
    for (int i = 0; i < 100; i++) {
        if (!(__atomic_load_n(&o->words->state, __ATOMIC_ACQUIRE) & nshm__bit(o))) {
            while (o->type == NSHM_MUTEX && nshm__contradicts(o)) {
                if (nshm_now() >= tampered) return -EUCLEAN;
                if ((r = nshm__nap(until))) return r;
            }
            return 0;
        }
        sched_yield();
    }
    if (!t) return nshm__nap(until);
    if ((r = nshm__lock_registry(t, until))) return r;
    __atomic_fetch_and(&o->words->state, ~nshm__bit(o), __ATOMIC_SEQ_CST);
    nshm__unlock_registry(t);
    nshm__wake(&o->words->state, INT_MAX);
    return 0;
}

static inline void nshm__unreserve(nshm_waitee *o) {
    __atomic_fetch_and(&o->words->state, ~nshm__bit(o), __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&o->words->waiters, __ATOMIC_SEQ_CST)) nshm__wake(&o->words->state, INT_MAX);
}
#endif
