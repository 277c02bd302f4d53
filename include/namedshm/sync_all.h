/* namedshm/sync_all.h - taking all of several objects, or none.
 *
 * Owns:   a wait for all takes everything at one time, as others see it.  Under the registries' locks every object is reserved, so that
 *         others wait for the outcome; then all are taken.  Locks are taken Local before Global, so nobody waits in a circle.
 *         After a kill between the reservations and the end, what was taken is given up like everything of a dead process, and the
 *         reservations left are taken off by whoever has the lock next (nshm_settle).
 * Needs:  sync_object.h.
 */
#ifndef NAMEDSHM_PART_SYNC_ALL_H
#define NAMEDSHM_PART_SYNC_ALL_H
#include "sync_object.h"

/* Callers hold the registries' locks, so a reservation met here is a dead process's: it becomes ours. */
static inline int nshm__take_all(nshm_wait_context *c) {
    int k, r = 0;
    for (k = 0; k < c->count; k++) {
        nshm_waitee *o = &c->object[k];
        uint32_t v = __atomic_load_n(&o->words->state, __ATOMIC_SEQ_CST);
        int mutex = o->type == NSHM_MUTEX;
        if (mutex && nshm__held_index(o->identity) >= 0) continue; /* ours already, so nobody else can take it */
        if (mutex) nshm__mix(o->words);
        for (;;) {
            uint32_t without = v & ~nshm__bit(o);
            if (mutex ? without & FUTEX_TID_MASK : !without) {
                r = -EAGAIN;
                break;
            }
            if (__atomic_compare_exchange_n(&o->words->state, &v, without | nshm__bit(o), 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) break;
        }
        if (r) break;
        NSHM_STEP("reserved");
        if (mutex && !nshm__claim(o->words)) {
            r = -EBUSY;
            nshm__unreserve(o);
            break;
        }
    }
    if (r) {
        while (k-- > 0) {
            nshm_waitee *o = &c->object[k];
            if (o->type == NSHM_MUTEX) {
                if (nshm__held_index(o->identity) >= 0) continue;
                nshm__unclaim(o->words, 1);
            }
            nshm__unreserve(o);
        }
        return r;
    }
    for (k = 0; k < c->count; k++) {
        nshm_waitee *o = &c->object[k];
        nshm_words *w = o->words;
        uint32_t v = __atomic_load_n(&w->state, __ATOMIC_SEQ_CST);
        NSHM_STEP("committing");
        if (o->type == NSHM_MUTEX) {
            int own = nshm__held_index(o->identity);
            if (own >= 0) {
                nshm__me.held[own].depth++;
                continue;
            }
            if (v & FUTEX_OWNER_DIED) c->abandoned |= 1ull << k;
            nshm__own_it(o); /* into the list before it is ours: this thread's one pending word is the registry's lock */
            while (!__atomic_compare_exchange_n(&w->state, &v, nshm__me.tid | FUTEX_WAITERS, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
                ; /* only FUTEX_WAITERS can change meanwhile; setting it costs the release one system call */
        } else if (o->type == NSHM_EVENT) {
            if (o->manual) __atomic_fetch_and(&w->state, ~NSHM_RESERVED, __ATOMIC_SEQ_CST);
            else __atomic_store_n(&w->state, 0, __ATOMIC_SEQ_CST);
        } else {
            uint64_t n = __atomic_load_n(&w->counter, __ATOMIC_SEQ_CST); /* nobody else changes it while it is reserved */
            __atomic_store_n(&w->counter, nshm__counter(nshm__count(n) ? nshm__count(n) - 1 : 0), __ATOMIC_SEQ_CST);
        }
    }
    return 0;
}
/* -EBUSY: the registries' locks were not to be had until then, or nshm__take_all's. */
static inline int nshm__try_all(nshm_wait_context *c, int64_t until) {
    nshm_registry *first = NULL, *second = NULL; /* Local, then Global */
    int r, k, more = 0;
    for (k = 0; k < c->count; k++) {
        nshm_waitee *o = &c->object[k];
        int own = o->type == NSHM_MUTEX ? nshm__held_index(o->identity) : -1;
        if (!nshm__signaled(o)) return -EAGAIN;
        if (!o->place->writable) return -EPERM;
        nshm_registry **which = o->place->global ? &second : &first;
        if (*which && *which != o->place->registry) return -EXDEV;
        *which = o->place->registry;
        if (own >= 0) {
            if ((__atomic_load_n(&o->words->state, __ATOMIC_SEQ_CST) & FUTEX_TID_MASK) != nshm__me.tid) return -EUCLEAN;
            if (nshm__me.held[own].depth == UINT_MAX) return -EOVERFLOW;
        } else if (o->type == NSHM_MUTEX) {
            if (!nshm__linkable(&o->words->state)) return -ENOSYS;
            if (nshm__me.count + ++more > NSHM_OWNED_MAX) return -ENOLCK;
        }
    }
    if (!first) {
        first = second;
        second = NULL;
    }
    if (second && !nshm__linkable(&first->lock)) return -ENOSYS;
    if ((r = nshm__lock_registry(first, until))) return r == -ETIMEDOUT ? -EBUSY : r;
    if (second) { /* a thread has one pending word, so the first lock is put into its robust list for the while */
        nshm__link(&first->lock);
        if (!(r = nshm__lock_registry(second, until))) {
            r = nshm__take_all(c);
            nshm__unlock(second);
        } else if (r == -ETIMEDOUT) r = -EBUSY;
        nshm__pend(nshm__me.head, &first->lock);
        nshm__unlink(&first->lock);
    } else {
        r = nshm__take_all(c);
    }
    nshm__unlock_registry(first);
    return r;
}
#endif
