/* namedshm/queue_lock.h - the lock of an end, and sleeping on it: on Linux.
 *
 * The word of an end: 0, or the holder's thread id, and two flags.
 *
 *   SLEEPERS (FUTEX_WAITERS)      set by whoever is about to sleep on the word; taken off only by an unlocker that asked the kernel with the
 *                                 lock held and found nobody.  So: somebody sleeps => it is set.
 *   STALE (FUTEX_OWNER_DIED)      taken off by whoever is about to sleep; set whenever the lock is given up while SLEEPERS is set, by an
 *                                 unlock and by the kernel for a dead holder, and by a sleeper that leaves something behind.  So the word
 *                                 that a sleeper compares with is another after any of these.
 *
 * Every giving-up with SLEEPERS set is followed by a wake-up.  Whoever waits for what an end makes sleeps on that end's word, so the
 * unlock, which is a compare-and-swap anyway, is the look at whether somebody sleeps.
 *
 * Owns:   the word is pending (list_op_pending of this thread's robust list) from before the lock is taken until after the wake-up:
 *         so a kill at any instruction gives the lock up and wakes a sleeper.  No node is ever linked: the kernel follows no pointer
 *         out of the shared memory.
 *         Locks are not nested, and nothing that can wait is done under one.
 * Needs:  queue_types.h, sync_futex.h, sync_thread.h.
 */
#ifndef NAMEDSHM_PART_QUEUE_LOCK_H
#define NAMEDSHM_PART_QUEUE_LOCK_H
#include "queue_types.h"
#include "sync_futex.h"
#include "sync_thread.h"

#define NSHM__SLEEPERS ((uint32_t)FUTEX_WAITERS)
#define NSHM__STALE ((uint32_t)FUTEX_OWNER_DIED)
#define NSHM__FLAGS (NSHM__SLEEPERS | NSHM__STALE)

/* ------------------------------------------------------------------------------------------------ this thread
 * Before the first lock: what the kernel calls this thread. */
static inline void nshm__queue_introduce(void) { nshm__tid(); }
/* Are we a signal handler that interrupted an operation of its own thread?  That one's word is pending, and would be no more. */
static inline int nshm__queue_within(void) { return nshm__tid() && nshm__me.head && nshm__me.head->list_op_pending; }
/* Can this thread lock?  0; -ENOSYS; -EDEADLK. */
static inline int nshm__queue_able(void) {
    nshm__tid();
    if (!nshm__me.head) return -ENOSYS;
    return nshm__me.head->list_op_pending ? -EDEADLK : 0;
}
/* Nanoseconds.  Not 0: a signal handler ran. */
static inline int nshm__queue_nap(long length) {
    struct timespec nap = {0, length};
    return nanosleep(&nap, NULL);
}

/* Before a chunk is touched.  Its pages come as that is done. */
static inline int nshm__queue_back(const nshm_queue *q, uint32_t c) {
    (void)q, (void)c;
    return 0;
}

static inline int nshm__queue_wake(uint32_t *word, int n) { return (int)syscall(SYS_futex, word, FUTEX_WAKE, n, NULL, NULL, 0); }

/* ------------------------------------------------------------------------------------------------ taking it
 * 0; -ETIMEDOUT; -EINTR (never with deadline 0); -EBUSY: without a deadline, its holder is stopped.  Held for some fifty nanoseconds, it
 * is taken when its holder is not running: to look again costs less than a protocol for sleeping here.  Our own number in it is no
 * sign that we hold it: a thread of another PID namespace may have that number, too. */
static __attribute__((noinline, unused)) int nshm__queue_lock_slowly(uint32_t *lock, int64_t deadline) {
    uint32_t me = nshm__me.tid, v;
    int timed = deadline > 0 && deadline < INT64_MAX, r = 0;
    int64_t end = timed ? deadline : 0, now;
    struct timespec nap = {0, 20000};
    for (int tries = 0;; tries++) {
        v = nshm__peek(lock, RELAXED);
        if (!(v & FUTEX_TID_MASK)) {
            if (!nshm__trade(lock, &v, me | (v & NSHM__FLAGS), ACQUIRE)) continue;
            NSHM_STEP("locked");
            return 0;
        }
        if (tries < 100) {
            nshm__pause();
            continue;
        }
        if (tries < 130 && deadline != NSHM__AT_ONCE) {
            sched_yield();
            continue;
        }
        now = nshm_now();
        if (!end) end = now + NSHM_QUEUE_PATIENCE;
        if (now >= end) {
            r = timed ? -ETIMEDOUT : -EBUSY;
            break;
        }
        if (nanosleep(&nap, NULL) && deadline) {
            r = -EINTR;
            break;
        }
        if (nap.tv_nsec < 1000000) nap.tv_nsec *= 2;
    }
    nshm__pending(NULL);
    return r;
}
static inline int nshm__queue_lock(uint32_t *lock, int64_t deadline) {
    uint32_t me = nshm__me.tid, v = nshm__peek(lock, RELAXED);
    nshm__pending(lock); /* until the end of the unlock */
    NSHM_STEP("locking");
    if ((v & FUTEX_TID_MASK) || !nshm__trade(lock, &v, me | (v & NSHM__FLAGS), ACQUIRE)) return nshm__queue_lock_slowly(lock, deadline);
    NSHM_STEP("locked");
    return 0;
}

/* ------------------------------------------------------------------------------------------------ giving it up
 * 1: somebody may sleep.  `v`: the word as last seen.  A word that is not ours any more was written over, and is left alone. */
static inline int nshm__queue_give_up(uint32_t *lock, uint32_t v) {
    while ((v & FUTEX_TID_MASK) == nshm__me.tid) /* others only change flags: two rounds at most, but against a scribbler */
        if (nshm__trade(lock, &v, v & NSHM__SLEEPERS ? NSHM__FLAGS : 0, ACQ_REL)) return (v & NSHM__SLEEPERS) != 0;
    return 0;
}
static __attribute__((noinline, unused)) void nshm__queue_unlock_slowly(uint32_t *lock, uint32_t v, int n) {
    uint32_t me = nshm__me.tid;
    int sleepers = nshm__queue_give_up(lock, v), woken;
    NSHM_STEP("unlocked");
    if (sleepers && nshm__queue_wake(lock, n) <= 0) {
        NSHM_STEP("nobody");
        /* To forget SLEEPERS, the kernel is asked once more with the lock held: meanwhile nobody else can set STALE, so it
         * tells whether somebody armed the word. */
        v = NSHM__FLAGS;
        if (nshm__trade(lock, &v, me | NSHM__FLAGS, ACQUIRE)) {
            woken = nshm__queue_wake(lock, 1);
            NSHM_STEP("asked");
            v = me | NSHM__FLAGS;
            if ((woken > 0 || !nshm__trade(lock, &v, 0, RELEASE)) && nshm__queue_give_up(lock, v)) nshm__queue_wake(lock, 1);
        }
    }
    NSHM_STEP("woke");
    nshm__pending(NULL);
}
/* Wakes n who sleep on it, one at least, also if nothing was done under the lock: a killed sleeper's wake-up may be waiting for us. */
static inline void nshm__queue_unlock(uint32_t *lock, int n) {
    uint32_t v = nshm__me.tid;
    NSHM_STEP("unlocking");
    if (nshm__trade(lock, &v, 0, ACQ_REL)) nshm__pending(NULL);
    else nshm__queue_unlock_slowly(lock, v, n < 1 ? 1 : n);
}

/* ------------------------------------------------------------------------------------------------ sleeping on it
 * From here on a wake-up may come to this thread that others need: if it is killed, the kernel is to wake another.  Not where
 * another PID namespace's thread with the same number could hold the lock: see namedshm_sync.h. */
static inline void nshm__queue_answerable(const nshm_queue *q, uint32_t *word) {
    if (nshm__peek(&q->head->space, RELAXED) == nshm__me.space && nshm__me.space != NSHM_MIXED) nshm__pending(word);
}
/* The end of that; `result`: of the wait. */
static inline void nshm__queue_answered(const nshm_queue *q, uint32_t *word, int result) {
    (void)q, (void)word, (void)result;
    nshm__pending(NULL);
}
/* Something is there.  Who looked before, and is about to sleep, looks again; n of those who sleep are woken. */
static inline void nshm__queue_alert(uint32_t *word, int n) {
    uint32_t v = nshm__peek(word, RELAXED);
    while ((v & NSHM__SLEEPERS) && !(v & NSHM__STALE) && !nshm__trade(word, &v, v | NSHM__STALE, ACQ_REL)) {}
    NSHM_STEP("passing on");
    if (v & NSHM__SLEEPERS) nshm__queue_wake(word, n);
}
/* Set the flags of who is about to sleep, and look again with `nothing`.  1: there is something; 0: sleep as long as the word is *value. */
static inline int nshm__queue_arm(nshm_queue *q, uint32_t *word, int (*nothing)(nshm_queue *), uint32_t *value) {
    uint32_t v, armed;
    v = nshm__peek(word, ACQUIRE);
    do armed = (v | NSHM__SLEEPERS) & ~NSHM__STALE; /* acquire in any case, also where another sleeper has armed it */
    while (v != armed && !__atomic_compare_exchange_n(word, &v, armed, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
    *value = armed;
    NSHM_STEP("armed");
    /* Published before the word was armed: that unlock comes before in the word's order, and we acquired it.  Published after this
     * look: the unlock changes the word, or comes later and sees SLEEPERS. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* for `shut`, which is stored outside of any lock */
    return !nothing(q) || nshm__peek(&q->head->shut, RELAXED);
}
/* Sleep until the word's lock is given up.  1: woken, or there is something; 0: look again; -ETIMEDOUT, -EINTR.  The word stays
 * pending: see nshm__queue_answerable. */
static inline int nshm__queue_sleep(nshm_queue *q, uint32_t *word, int (*nothing)(nshm_queue *), int64_t until) {
    struct timespec end = {until / 1000000000, until % 1000000000};
    uint32_t armed;
    nshm__queue_answerable(q, word);
    NSHM_STEP("falling asleep");
    if (nshm__queue_arm(q, word, nothing, &armed)) return 1;
    NSHM_STEP("sleeping");
    if (!syscall(SYS_futex, word, FUTEX_WAIT_BITSET, armed, &end, NULL, FUTEX_BITSET_MATCH_ANY)) {
        NSHM_STEP("woken");
        return 1;
    }
    return errno == EAGAIN ? 0 : errno == EINTR || errno == ETIMEDOUT ? -errno : -EUCLEAN;
}

/* ------------------------------------------------------------------------------------------------ PID namespaces
 * Who makes a queue: which one its threads' numbers are of. */
static inline uint32_t nshm__queue_space(void) {
    nshm__tid();
    return nshm__me.space;
}
/* Who takes part.  Thread numbers may be used twice from now on: sleepers are woken, and sleep again without keeping the word pending. */
static inline void nshm__queue_mix(nshm_queue *q) {
    nshm_queue_head *h = q->head;
    uint32_t space = nshm__peek(&h->space, RELAXED);
    if (space == nshm__me.space || space == NSHM_MIXED) return;
    nshm__poke(&h->space, NSHM_MIXED, SEQ_CST);
    nshm__queue_alert(&h->put.lock, INT_MAX);
    nshm__queue_alert(&h->get.lock, INT_MAX);
    nshm__queue_alert(&h->pool.lock, INT_MAX);
}
#endif
