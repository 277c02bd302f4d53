/* namedshm/sync_mutex.h - taking and releasing a mutex.
 *
 * Owns:   a mutex has one owner, a thread, and its death is told to the next one.  The word is pending from before it is taken until
 *         the node is in the robust list, and from before the node leaves the list until the waiters were woken: so a kill at any
 *         instruction gives the mutex up and wakes somebody.
 * Needs:  sync_futex.h, sync_robust.h.
 */
#ifndef NAMEDSHM_PART_SYNC_MUTEX_H
#define NAMEDSHM_PART_SYNC_MUTEX_H
#include "sync_futex.h"
#include "sync_robust.h"

/* Before a mutex is taken: if its users were of another PID namespace so far, write down that there are several now, and wake
 * who sleeps: they sleep again without keeping the word pending. */
static inline void nshm__mix(nshm_words *w) {
    uint32_t space = __atomic_load_n(&w->space, __ATOMIC_RELAXED);
    if (space == nshm__me.space || space == NSHM_MIXED) return;
    __atomic_store_n(&w->space, NSHM_MIXED, __ATOMIC_SEQ_CST);
    nshm__wake(&w->state, INT_MAX);
}
/* Are all its users of our PID namespace, so that no two have the same thread id? */
static inline int nshm__unmixed(const nshm_words *w) {
    uint32_t space = __atomic_load_n(&w->space, __ATOMIC_SEQ_CST);
    return space == nshm__me.space && space != NSHM_MIXED;
}
static inline void nshm__own_it(const nshm_waitee *o) { /* after nshm__claim and nshm__reserve_room */
    nshm__own own = {o->identity, o->words, 1};
    nshm__me.held[nshm__me.count++] = own;
    nshm__link(&o->words->state);
}
/* Take once more what this thread owns, held[k]. */
static inline int nshm__deepen(const nshm_waitee *o, int k) {
    if ((__atomic_load_n(&o->words->state, __ATOMIC_RELAXED) & FUTEX_TID_MASK) != nshm__me.tid) return -EUCLEAN; /* written over */
    if (nshm__me.held[k].depth == UINT_MAX) return -EOVERFLOW;
    nshm__me.held[k].depth++;
    return 0;
}
/* 0; NSHM_ABANDONED: taken from a dead owner; -EAGAIN: owned; -EBUSY: look again soon, see nshm_settle. */
static inline int nshm__try_mutex(nshm_waitee *o) {
    nshm_words *w = o->words;
    uint32_t v = __atomic_load_n(&w->state, __ATOMIC_ACQUIRE);
    int k = nshm__held_index(o->identity);
    if (k >= 0) return nshm__deepen(o, k);
    if (!nshm__linkable(&w->state)) return -ENOSYS;
    nshm__mix(w);
    for (;;) {
        if (v & NSHM_RESERVED_MUTEX) return -EBUSY;
        if (v & FUTEX_TID_MASK) return -EAGAIN;
        if (nshm__me.count >= NSHM_OWNED_MAX) return -ENOLCK;
        /* If we die as the owner, the kernel wakes a sleeper only if FUTEX_WAITERS is set.  So we set it from the first instant
         * if somebody sleeps (a waiter that was just woken counts itself), and below for who came since this look. */
        uint32_t mine = nshm__me.tid | (v & FUTEX_WAITERS) | (__atomic_load_n(&w->waiters, __ATOMIC_SEQ_CST) ? FUTEX_WAITERS : 0);
        nshm__pending(&w->state);
        NSHM_STEP("taking");
        if (__atomic_compare_exchange_n(&w->state, &v, mine, 0, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE)) {
            NSHM_STEP("mutex-taken");
            if (!nshm__claim(w)) { /* give it back, with the mark of the dead owner, if any */
                __atomic_store_n(&w->state, v & FUTEX_OWNER_DIED, __ATOMIC_SEQ_CST);
                if (__atomic_load_n(&w->waiters, __ATOMIC_SEQ_CST)) nshm__wake(&w->state, 1);
                nshm__pending(NULL);
                return -EBUSY;
            }
            nshm__own_it(o);
            if (!(mine & FUTEX_WAITERS) && __atomic_load_n(&w->waiters, __ATOMIC_SEQ_CST))
                __atomic_fetch_or(&w->state, FUTEX_WAITERS, __ATOMIC_SEQ_CST);
            nshm__pending(NULL);
            return v & FUTEX_OWNER_DIED ? NSHM_ABANDONED : 0;
        }
        nshm__pending(NULL);
    }
}

static inline uint32_t nshm_mutex_depth(const nshm_waitee *o) {
    nshm__tid();
    int k = nshm__held_index(o->identity);
    return k < 0 ? 0 : nshm__me.held[k].depth;
}

/* The word says that the mutex is free, but a thread of this process has its node: see nshm__claim. */
static inline int nshm__contradicts(const nshm_waitee *o) {
    nshm__private *p = nshm__behind(o->words);
    return !(__atomic_load_n(&o->words->state, __ATOMIC_SEQ_CST) & FUTEX_TID_MASK) &&
           nshm__in_use(p, __atomic_load_n(&p->holder, __ATOMIC_ACQUIRE));
}

static inline int nshm_mutex_release(const nshm_waitee *o) {
    nshm_words *w = o->words, *linked;
    nshm__tid();
    uint32_t v = __atomic_load_n(&w->state, __ATOMIC_ACQUIRE);
    int k = nshm__held_index(o->identity), lost = (v & FUTEX_TID_MASK) != nshm__me.tid;
    if (k < 0) return -EPERM;
    if (nshm__me.held[k].depth > 1 && !lost) {
        nshm__me.held[k].depth--;
        return 0;
    }
    linked = nshm__me.held[k].words; /* perhaps another attachment, of a handle that was closed since */
    nshm__pending(&w->state);
    nshm__unlink(&linked->state);
    for (nshm__me.count--; k < nshm__me.count; k++) nshm__me.held[k] = nshm__me.held[k + 1];
    nshm__unclaim(linked, linked == w); /* before the word is free: its next owner may be a thread of ours */
    if (!lost) {
        NSHM_STEP("releasing");
        v = __atomic_exchange_n(&w->state, 0, __ATOMIC_SEQ_CST);
        NSHM_STEP("released");
        if ((v & FUTEX_WAITERS) || __atomic_load_n(&w->waiters, __ATOMIC_SEQ_CST)) {
            if (!nshm__unmixed(w)) nshm__pending(NULL); /* a thread with our number may have it at once */
            nshm__wake(&w->state, 1);
        }
    }
    nshm__pending(NULL);
    if (!nshm__me.count && nshm__me.held != nshm__me.few) {
        free(nshm__me.held);
        nshm__me.held = nshm__me.few;
        nshm__me.room = 8;
    }
    return lost ? -EUCLEAN : 0;
}
#endif
