/* namedshm/sync_semaphore.h - taking and releasing a semaphore.
 *
 * Owns:   NSHM_SET is in the lower half of the counter, where sleepers look, if and only if the count is not 0.  Both halves change in
 *         one compare-and-swap.  The word is pending from before a release until the waiters were woken.
 * Needs:  sync_futex.h, sync_thread.h.
 */
#ifndef NAMEDSHM_PART_SYNC_SEMAPHORE_H
#define NAMEDSHM_PART_SYNC_SEMAPHORE_H
#include "sync_futex.h"
#include "sync_thread.h"

/* 0, -EAGAIN: the count is 0, -EBUSY: reserved, see nshm_settle. */
static inline int nshm__try_semaphore(nshm_waitee *o) {
    uint64_t v = __atomic_load_n(&o->words->counter, __ATOMIC_SEQ_CST);
    while (v) {
        uint32_t n = nshm__count(v);
        if (v & NSHM_RESERVED) return -EBUSY;
        if (__atomic_compare_exchange_n(&o->words->counter, &v, nshm__counter(n ? n - 1 : 0), 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            return n ? 0 : -EAGAIN; /* set, but the count is 0: somebody wrote over the page */
    }
    return -EAGAIN;
}

static inline int nshm_semaphore_release(nshm_waitee *o, uint32_t n, uint32_t *previous) {
    nshm_words *w = o->words;
    uint64_t counter;
    int r = 0;
    nshm__tid();
    nshm__pending(&w->state);
    counter = __atomic_load_n(&w->counter, __ATOMIC_SEQ_CST);
    do {
        *previous = nshm__count(counter);
        if (counter & NSHM_RESERVED) r = -EBUSY;
        else if (n > o->maximum || *previous > o->maximum - n) r = -EOVERFLOW;
    } while (!r && !__atomic_compare_exchange_n(&w->counter, &counter, nshm__counter(*previous + n), 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
    NSHM_STEP("given");
    if (!r) nshm__wake_for(w, n < INT_MAX ? (int)n : INT_MAX);
    nshm__pending(NULL);
    return r;
}
#endif
