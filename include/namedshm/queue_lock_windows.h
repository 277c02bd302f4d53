/* namedshm/queue_lock_windows.h - the lock of an end, and sleeping on it: on Windows.
 *
 * The word of an end has 64 bits here, `lock` and the spare half behind it: 0, or the number of the process whose thread holds the lock
 * (queue_life_windows.h), which is even; and the lowest bit, SLEEPERS.
 *
 * The lock is taken and given up by compare-and-swap.  Nobody gives up a dead holder's: whoever has met the same holder for a
 * millisecond asks whether it lives, and if that is proved not to be so, swaps the word that it read for its own.  Nothing needs repair.
 * No other process has that number, now or later, so the swap cannot meet a word that means something else.
 *
 * Who waits for what an end makes sleeps on that end's bell, a named auto-reset event.  It stays set if nobody sleeps: so there is nothing
 * like STALE.  No sleeper is missed, because of this: where somebody sleeps, or is about to, one of these is true.
 *
 *   1. SLEEPERS is set.  It is set before looking again and sleeping; whoever makes something and then finds it set rings the bell.
 *   2. The bell is set: who is about to sleep does not.
 *   3. Somebody has taken SLEEPERS off and is about to ring.
 *   4. Somebody was woken, and is about to set SLEEPERS: for others may sleep.
 *
 * SLEEPERS is taken off before ringing, and set again after that if the bell was not set before: then somebody woke, and others may sleep.
 * If it was set before, nobody slept; who had been about to will wake at once (2) and set SLEEPERS (4) for those behind him.  A kill
 * in 3 or 4, or of who was woken, leaves the sleepers to their naps.
 *
 * Owns:   locks are not nested, and nothing that can wait is done under one.
 *         A thread that is ended by TerminateThread within a lock keeps it as long as its process lives.
 * Needs:  queue_life_windows.h, queue_types.h.
 */
#ifndef NAMEDSHM_PART_QUEUE_LOCK_WINDOWS_H
#define NAMEDSHM_PART_QUEUE_LOCK_WINDOWS_H
#include "queue_life_windows.h"
#include "queue_types.h"

typedef uint64_t __attribute__((may_alias)) nshm__word;
#define NSHM__SLEEPERS 1u
#define NSHM__RINGS 4096 /* for "all": who is woken does not sleep again, or there are more than that */

#ifdef __cplusplus
extern "C"
#endif
LONG NTAPI NtSetEvent(HANDLE, LONG *); /* SetEvent does not tell what the event was before */

static inline nshm__word *nshm__word_of(uint32_t *lock) { return (nshm__word *)lock; }
static inline uint64_t nshm__holder(uint64_t word) { return word & ~(uint64_t)NSHM__SLEEPERS; }

/* ------------------------------------------------------------------------------------------------ this thread */
static inline void nshm__queue_introduce(void) {}
static inline int nshm__queue_within(void) { return 0; } /* what handles Ctrl-C is another thread */
static inline int nshm__queue_able(void) { return 0; }
static inline int nshm__queue_nap(long length) {
    Sleep((DWORD)((length + 999999) / 1000000));
    return 0;
}

/* Chunks are reserved, not committed, when a queue is made.  Who touches one for the first time commits it, also who reads: a hostile
 * producer may name one that nobody has committed, and reading that would end this process.  0; -ENOMEM. */
static inline int nshm__queue_back(const nshm_queue *q, uint32_t c) {
    unsigned char *done = q->handle.committed;
    if (nshm__peek(&done[c], RELAXED)) return 0;
    if (!VirtualAlloc(q->data + c * q->chunk_size, q->chunk_size, MEM_COMMIT, q->handle.readonly ? PAGE_READONLY : PAGE_READWRITE))
        return nshm__failed() == -ENOMEM ? -ENOMEM : -EUCLEAN;
    nshm__poke(&done[c], 1, RELAXED);
    return 0;
}

/* ------------------------------------------------------------------------------------------------ from a word to its queue
 * The open queues of this process: whoever finds SLEEPERS set, or a holder that does not let go, looks for the word's there. */
static nshm_handle *nshm__queues;
static SRWLOCK nshm__queues_lock = SRWLOCK_INIT;

static inline void nshm__queue_known(nshm_handle *h) {
    AcquireSRWLockExclusive(&nshm__queues_lock);
    h->next = nshm__queues;
    nshm__queues = h;
    ReleaseSRWLockExclusive(&nshm__queues_lock);
}
static inline void nshm__queue_forgotten(nshm_handle *h) {
    nshm_handle **link = &nshm__queues;
    AcquireSRWLockExclusive(&nshm__queues_lock);
    while (*link && *link != h) link = &(*link)->next;
    if (*link) *link = h->next;
    ReleaseSRWLockExclusive(&nshm__queues_lock);
}
/* The word's queue is open: its caller is in an operation on it. */
static inline const nshm_handle *nshm__queue_of(const uint32_t *word) {
    AcquireSRWLockShared(&nshm__queues_lock);
    const nshm_handle *h = nshm__queues;
    while (h && (uintptr_t)word - (uintptr_t)h->data >= sizeof(nshm_queue_head)) h = h->next;
    ReleaseSRWLockShared(&nshm__queues_lock);
    return h;
}
static inline HANDLE nshm__queue_bell(const uint32_t *word) {
    const nshm_handle *h = nshm__queue_of(word);
    return h ? h->bell[((uintptr_t)word - (uintptr_t)h->data - offsetof(nshm_queue_head, put)) / sizeof(nshm_queue_end)] : NULL;
}

/* ------------------------------------------------------------------------------------------------ taking it
 * 0; -ETIMEDOUT; -EBUSY: without a deadline, its holder is stopped. */
static inline int nshm__queue_holder_died(const uint32_t *lock, uint64_t holder) {
    const nshm_handle *h = nshm__queue_of(lock);
    return h && holder != nshm__number && !nshm__life_of(h->place->global, holder);
}
static __attribute__((noinline, unused)) int nshm__queue_lock_slowly(uint32_t *lock, int64_t deadline) {
    nshm__word *word = nshm__word_of(lock);
    uint64_t v, met = 0;
    int timed = deadline > 0 && deadline < INT64_MAX;
    int64_t end = timed ? deadline : 0, since = 0, now;
    for (int tries = 0;; tries++) {
        v = nshm__peek(word, RELAXED);
        if (nshm__holder(v) && tries < 100) {
            nshm__pause();
            continue;
        }
        if (nshm__holder(v) && tries < 130 && deadline != NSHM__AT_ONCE) {
            SwitchToThread();
            continue;
        }
        if (nshm__holder(v)) {
            now = nshm_now();
            if (nshm__holder(v) != met) met = nshm__holder(v), since = now;
            if (!end) end = now + NSHM_QUEUE_PATIENCE;
            if (now >= end) return timed ? -ETIMEDOUT : -EBUSY;
            if (now - since < 1000000 || !nshm__queue_holder_died(lock, met)) {
                Sleep(1);
                continue;
            }
            NSHM_STEP("taking over");
        }
        if (!nshm__trade(word, &v, nshm__number | (v & NSHM__SLEEPERS), ACQUIRE)) continue;
        NSHM_STEP("locked");
        return 0;
    }
}
static inline int nshm__queue_lock(uint32_t *lock, int64_t deadline) {
    nshm__word *word = nshm__word_of(lock);
    uint64_t v = nshm__peek(word, RELAXED);
    if (!nshm__number) return -ENOSYS; /* this process takes part in nothing */
    NSHM_STEP("locking");
    if (nshm__holder(v) || !nshm__trade(word, &v, nshm__number | (v & NSHM__SLEEPERS), ACQUIRE)) return nshm__queue_lock_slowly(lock, deadline);
    NSHM_STEP("locked");
    return 0;
}

/* ------------------------------------------------------------------------------------------------ waking
 * Ring up to n times.  0: somebody may still sleep. */
static inline int nshm__queue_ring(HANDLE bell, int n) {
    LONG before = 0;
    for (int i = 0; i < n && i < NSHM__RINGS && !before; i++)
        if (NtSetEvent(bell, &before) < 0) return 0;
    return before != 0;
}
/* SLEEPERS was taken off by us. */
static __attribute__((noinline, unused)) void nshm__queue_wake(uint32_t *lock, int n) {
    NSHM_STEP("unlocked");
    if (!nshm__queue_ring(nshm__queue_bell(lock), n)) {
        NSHM_STEP("rung");
        __atomic_fetch_or(nshm__word_of(lock), NSHM__SLEEPERS, __ATOMIC_SEQ_CST);
    }
    NSHM_STEP("woke");
}
/* Wakes n who sleep on it, one at least.  A word that is not ours any more was written over, and is left alone. */
static inline void nshm__queue_unlock(uint32_t *lock, int n) {
    nshm__word *word = nshm__word_of(lock);
    uint64_t v = nshm__number;
    NSHM_STEP("unlocking");
    while (nshm__holder(v) == nshm__number) /* two rounds at most, but against a scribbler */
        if (nshm__trade(word, &v, 0, ACQ_REL)) {
            if (v & NSHM__SLEEPERS) nshm__queue_wake(lock, n < 1 ? 1 : n);
            return;
        }
}
/* Something is there: n of those who sleep are woken; INT_MAX: all, also if somebody else has taken SLEEPERS off, to wake one. */
static inline void nshm__queue_alert(uint32_t *lock, int n) {
    nshm__word *word = nshm__word_of(lock);
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* what is there, before this look; a sleeper has them the other way round */
    uint64_t v = nshm__peek(word, RELAXED);
    if (n == INT_MAX) {
        nshm__queue_ring(nshm__queue_bell(lock), n);
        return;
    }
    while (v & NSHM__SLEEPERS)
        if (nshm__trade(word, &v, nshm__holder(v), ACQ_REL)) {
            nshm__queue_wake(lock, n);
            return;
        }
}

/* ------------------------------------------------------------------------------------------------ sleeping */
static __thread HANDLE nshm__interrupt; /* an event that ends this thread's waits, or NULL */

static inline void nshm_queue_interrupt(HANDLE event) { nshm__interrupt = event; }

static inline void nshm__queue_answerable(const nshm_queue *q, uint32_t *word) { (void)q, (void)word; }
/* A bell that was rung for all is set once: of those who were just about to sleep, each wakes the next. */
static inline void nshm__queue_answered(const nshm_queue *q, uint32_t *lock, int result) {
    if (result == -EPIPE || nshm__peek(&q->head->shut, RELAXED)) nshm__queue_ring(nshm__queue_bell(lock), 1);
}
/* Sleep until the bell of that word rings.  `nothing` looks again after SLEEPERS was set.  1: woken, or there is something;
 * -ETIMEDOUT, -EINTR. */
static inline int nshm__queue_sleep(nshm_queue *q, uint32_t *lock, int (*nothing)(nshm_queue *), int64_t until) {
    HANDLE bells[2] = {nshm__queue_bell(lock), nshm__interrupt};
    int64_t length;
    NSHM_STEP("falling asleep");
    /* Published before: that unlock comes before in the word's order, and we acquire it.  Published after this look: the unlock comes
     * later, and sees SLEEPERS. */
    __atomic_fetch_or(nshm__word_of(lock), NSHM__SLEEPERS, __ATOMIC_SEQ_CST);
    NSHM_STEP("armed");
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* for what is stored outside of any lock */
    if (!nothing(q) || nshm__peek(&q->head->shut, SEQ_CST)) return 1;
    NSHM_STEP("sleeping");
    length = (until - nshm_now() + 999999) / 1000000;
    length = length < 0 ? 0 : length > 0x7ffffffe ? 0x7ffffffe : length;
    switch (WaitForMultipleObjects(bells[1] ? 2 : 1, bells, FALSE, (DWORD)length)) {
    case WAIT_OBJECT_0:
        NSHM_STEP("woken");
        __atomic_fetch_or(nshm__word_of(lock), NSHM__SLEEPERS, __ATOMIC_SEQ_CST);
        NSHM_STEP("awake");
        return 1;
    case WAIT_OBJECT_0 + 1: return -EINTR;
    case WAIT_TIMEOUT: return -ETIMEDOUT;
    default: return nshm__why = GetLastError(), -EUCLEAN;
    }
}

/* ------------------------------------------------------------------------------------------------ numbers are never equal */
static inline uint32_t nshm__queue_space(void) { return 0; }
static inline void nshm__queue_mix(nshm_queue *q) { (void)q; }
#endif
