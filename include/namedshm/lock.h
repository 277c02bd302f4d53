/* namedshm/lock.h - the lock of a registry.
 *
 * A futex word holding the owner's thread id.  When the owner dies, the kernel gives the lock up (set_robust_list(2)).  The word is
 * entered only as list_op_pending of this thread's robust list, for the few microseconds the lock is held: so the kernel and the C
 * library never follow a pointer that others could have written into shared memory.
 *
 * Owns:   mutual exclusion of all who change a registry.  Every change is published by one store, so a death leaves nothing to repair
 *         but the rest of a replacement, which the next owner of the lock ends (freeing.h).  Readers do not take the lock, unless
 *         they find that a change is under way.
 *         What remains: thread ids of two PID namespaces can be equal.  A process that is killed in the few nanoseconds between
 *         writing list_op_pending and its failing compare-and-swap, and has the owner's number, would release the lock wrongly.
 * Needs:  freeing.h.
 */
#ifndef NAMEDSHM_PART_LOCK_H
#define NAMEDSHM_PART_LOCK_H
#include "freeing.h"

#ifndef NSHM_LOCK_PATIENCE
#define NSHM_LOCK_PATIENCE 10 /* seconds: then a lock whose owner is stopped is an error */
#endif

/* The head of this thread's robust list, or NULL: the kernel has none.  `tid`: of this thread. */
static inline struct robust_list_head *nshm__robust(uint32_t tid) {
    static __thread struct robust_list_head own;
    struct robust_list_head *head = NULL;
    size_t n;
#ifdef __GLIBC__ /* it registers one head when a thread starts, for good; of other libraries we ask each time */
    static __thread struct robust_list_head *cached;
    static __thread uint32_t cached_for; /* the thread it is of: a forked child is another, and registers anew */
    if (cached_for == tid) return cached;
#else
    (void)tid;
#endif
    if (syscall(SYS_get_robust_list, 0, &head, &n) || !head) { /* musl registers none before it needs one */
        own.list.next = &own.list;
        own.futex_offset = -32; /* the node stands beside the word, not on it */
        own.list_op_pending = NULL;
        head = syscall(SYS_set_robust_list, &own, sizeof own) ? NULL : &own;
    }
#ifdef __GLIBC__
    cached = head;
    cached_for = tid;
#endif
    return head;
}
static inline struct robust_list *nshm__node(const struct robust_list_head *r, uint32_t *word) {
    return (struct robust_list *)((char *)word - r->futex_offset);
}
/* Tell the kernel which word to look at if this thread dies now; NULL: none. */
static inline void nshm__pend(struct robust_list_head *r, uint32_t *word) {
    if (!r) return;
    struct robust_list *node = word ? nshm__node(r, word) : NULL;
    /* The kernel reads it in this thread, when it ends.  So program order is all that is needed. */
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    *(struct robust_list *volatile *)&r->list_op_pending = node;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}
static __thread struct robust_list_head *nshm__held; /* from nshm__lock to nshm__unlock */

/* 0; -EBUSY: taken, without `wait`; -EDEADLK: by the thread that this signal handler interrupted; -EINTR; -ETIMEDOUT: its owner
 * is stopped. */
static inline int nshm__lock(nshm_registry *t, int wait) {
    uint32_t me = (uint32_t)syscall(SYS_gettid), waiters = 0;
    struct robust_list_head *r = nshm__held = nshm__robust(me);
    struct timespec start = {0, 0}, now, pause = {0, 100000000};
    for (int spins = 0;;) {
        uint32_t v = __atomic_load_n(&t->lock, __ATOMIC_RELAXED);
        if (!(v & FUTEX_TID_MASK) || (v & FUTEX_OWNER_DIED)) { /* free, though sleepers may not be awake yet; or its owner died */
            uint32_t mine = me | waiters | (v & FUTEX_WAITERS);
            nshm__pend(r, &t->lock);
            if (__atomic_compare_exchange_n(&t->lock, &v, mine, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
                NSHM_STEP("locked");
                if (t->leaving) nshm__settle(t); /* its maker was killed: before anybody changes anything */
                return 0;
            }
            nshm__pend(r, NULL);
            continue;
        }
        if (!wait) return -EBUSY;
        if ((v & FUTEX_TID_MASK) == me && r && r->list_op_pending == nshm__node(r, &t->lock)) return -EDEADLK; /* in a signal handler */
        if (spins++ < 40) { sched_yield(); continue; } /* it is held for less time than a sleep and a wake-up take */
        if (!(v & FUTEX_WAITERS) &&
            !__atomic_compare_exchange_n(&t->lock, &v, v | FUTEX_WAITERS, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            continue;
        waiters = FUTEX_WAITERS; /* others may sleep as well: who is woken keeps the mark for them */
        if (syscall(SYS_futex, &t->lock, FUTEX_WAIT, v | FUTEX_WAITERS, &pause, NULL, 0) && errno == EINTR) return -EINTR;
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (!start.tv_sec) start = now;
        if (now.tv_sec - start.tv_sec > NSHM_LOCK_PATIENCE) return -ETIMEDOUT;
    }
}
static inline void nshm__unlock(nshm_registry *t) {
    NSHM_STEP("unlocking");
    if (__atomic_exchange_n(&t->lock, 0, __ATOMIC_RELEASE) & FUTEX_WAITERS) syscall(SYS_futex, &t->lock, FUTEX_WAKE, 1, NULL, NULL, 0);
    nshm__pend(nshm__held, NULL);
}
#endif
