/* namedshm_sync.h - named mutexes, events and semaphores, and waits on several of them, on Linux.
 *
 * What:   the waitable kernel objects of Windows, with the names and lifetime of namedshm.h: an object is a token (its name) and
 *         one page of words (its state).  Uncontended operations are one compare-and-swap; sleeping is a shared futex.
 * Why:    abandonment is told by the kernel (the owner's robust list, set_robust_list(2)): no polling, no pids.
 * Not:    fair.  Whoever comes first takes it; a woken waiter may find it taken again and sleeps on.
 *
 * Who owns a mutex is a thread.  Waiting functions return the index of the satisfied object, plus NSHM_ABANDONED if it is a mutex
 * whose owner died, or -ETIMEDOUT, -EINTR (call again with the same context), -EINVAL, -EPERM (for all, and a Global one, without the
 * right to create in Global), -EXDEV (for all, and they are from different IPC namespaces).  Acquiring a mutex can also fail with
 * -ENOLCK (this thread owns NSHM_OWNED_MAX), -ENOSYS (no robust list, or one of a layout that a mutex cannot be part of) and -EUCLEAN.
 * Changes (set, reset, pulse, release) never wait: -EBUSY says that somebody's wait-all is deciding, call nshm_settle and then again.
 *
 * Callers: a page stays mapped while any thread is in an operation on it, for it may be what the kernel looks at if that thread dies
 * (robust list, pending word), and the kernel must not find another mapping there.  No operation leaves it pending when it returns.
 * Before a page is unmapped: nshm_sync_keep.
 *
 * Kills: whatever a process holds when it is killed is given up by the kernel.  Whoever owes a wake-up has the word "pending" in its
 * robust list, and if it is killed the kernel wakes one sleeper instead (handle_futex_death: for a pending word with no thread id in
 * it).  That is a changer from before its change until it has woken, and who waits for one object from before its sleep until it has
 * taken the object or, if it is there for more, woken the next.  So among waits for one object no wake-up is lost, whoever is killed.
 * What is left: a wake-up that came to a wait for several (or to a watch) that is killed then, the kernel's wake-up for a dead one
 * included; a mutex reserved by a wait-all that died; and a process that is stopped keeps a wake-up to itself.  For these a sleeper
 * looks again every NSHM_NAP.  A wait-all killed in its commit has taken what it had taken.
 *
 * Hostile writers: whoever may write an object's page can make that object useless, and no more.  What this process owns, how often,
 * and the links of its robust list are in private memory; nothing read from the page is used as an address or an index.  A word that
 * does not say what we know is -EUCLEAN.
 *
 * PID namespaces: thread ids of two that share IPC can be equal.  Who owns a mutex is told apart by what each process knows; but the
 * kernel, asked to give up a pending word, compares thread ids only, and would free a namesake's mutex.  Hence `space`: a mutex used
 * from several is not kept pending where it need not be.  What remains are the few instructions between pending a free word and
 * having taken it or not, and between releasing it and pending it no more: whoever is killed exactly there, while its namesake has
 * just taken it.
 *
 * Memory order: docs/format-linux.md has it field by field.  Every change of `state` and `waiters` is sequentially consistent: a
 * sleeper raises `waiters`, then the kernel compares the word; a changer changes the word, then looks at `waiters`.  One of the two
 * sees the other (Dekker).
 */
#ifndef NAMEDSHM_SYNC_H
#define NAMEDSHM_SYNC_H
#include "namedshm.h"
#include <limits.h>
#include <pthread.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "nshm_words.counter: the first half must be the one futexes look at"
#endif
#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

#define NSHM_WAIT_MAX 64
#define NSHM_ABANDONED 0x80
#define NSHM_RESERVED_MUTEX 0x20000000u /* a thread id that cannot be: bit 29 (thread ids have 22 bits) */
#define NSHM_RESERVED 0x80000000u       /* in the state of events and semaphores */
#define NSHM_SET 0x40000000u            /* event, semaphore: it is there.  Not among the bits of a thread id: see "Kills" */
#define NSHM_MIXED 0xffffffffu          /* in `space`: used from several PID namespaces */
#define NSHM_SEMAPHORE_MAX 0x7fffffff
#define NSHM_OWNED_MAX 1024 /* mutexes of one thread.  Of a dead thread's list the kernel follows 2,048, the C library's among them */
#ifndef NSHM_PAUSES
#define NSHM_PAUSES 64 /* most between two looks of who spins; about a microsecond */
#endif
#ifndef NSHM_NAP
#define NSHM_NAP 500000000 /* nanoseconds */
#endif
#define NSHM_BRIEF 1000000    /* nanoseconds that even a try gives somebody's wait-all to end */
#define NSHM_TAMPERED 200000000 /* nanoseconds after which a word that contradicts what this process knows is taken for damaged */

/* The page of a synchronisation object.
 *
 *   field     written by                        meaning
 *   manual    creator, before publication       event: stays set until reset
 *   maximum   creator, before publication       semaphore
 *   waiters   whoever sleeps                    how many; too high after a kill (costs a system call), never too low
 *   pulse     event_set, event_pulse            generation << 1 | credit: what a waiter that began earlier may take
 *   space     creator; who comes from another   mutex: PID namespace of its users (inode number), or NSHM_MIXED
 *   state     compare-and-swap; the kernel      mutex: thread id | FUTEX_WAITERS | FUTEX_OWNER_DIED; event, semaphore: NSHM_SET or 0;
 *                                               with a reservation bit while a wait-all commits
 *   counter   compare-and-swap                  semaphore: state, and in the upper half the count: NSHM_SET if and only if not 0
 *
 * What every acquisition writes is one cache line; who only sleeps or looks for sleepers uses another.  `state` ends the page, so that
 * the node of the kernel's robust list, which lies where the C library's robust_list_head says (glibc: 32 bytes on, musl: 28), falls
 * into the page behind it: nshm__private. */
typedef struct {
    uint32_t type, manual, maximum, spare;
    char gap0[48];
    uint32_t waiters, pulse;
    char gap1[4080 - 72];
    uint32_t space, spare1;
    union {
        uint32_t state;
        uint64_t counter;
    };
} nshm_words;

/* What each attachment of a mutex has behind it, private to this process (nshm__back); zeros at first, and in a forked child.
 *
 *   field     written by                        meaning
 *   links     the owner                         node of its robust list, as the C library lays it out: prev, next
 *   holder    compare-and-swap                  the thread whose robust list goes through here, or 0, with NSHM__CLAIMING or NSHM__KEPT
 *   head      the holder                        its robust_list_head: tells it from a later thread of the same number
 */
typedef struct {
    char links[48];
    uint32_t holder, spare;
    struct robust_list_head *head;
} nshm__private;
#define NSHM__CLAIMING 0x40000000u /* head is not yet the holder's */
#define NSHM__KEPT 0x80000000u     /* the handle is closed: the holder unmaps it */

#ifndef __cplusplus
_Static_assert(offsetof(nshm_words, waiters) == 64 && offsetof(nshm_words, state) == 4088 && sizeof(nshm_words) == NSHM_WORDS_SIZE, "word layout");
#endif
static inline nshm__private *nshm__behind(nshm_words *w) { return (nshm__private *)((char *)w + NSHM_WORDS_SIZE); }

/* ------------------------------------------------------------------------------------------------ this thread */
typedef struct { /* a mutex that this thread owns */
    uint64_t identity; /* which object.  Not its segment's id: ids of two IPC namespaces can be equal */
    nshm_words *words; /* the attachment that the robust list goes through */
    uint32_t depth;    /* recursion */
} nshm__own;

static __thread struct {
    uint32_t tid, space;
    int count, room;
    struct robust_list_head *head;
    uint32_t *keep;     /* what stays pending while this thread is in a wait: see nshm__sleep */
    nshm__own *held, few[8];
} nshm__me;
static pthread_once_t nshm__once = PTHREAD_ONCE_INIT;

static inline void nshm__forked(void) { /* the child's only thread is new and owns nothing */
    nshm__me.tid = 0;
    nshm__me.count = 0;
    nshm__me.keep = NULL;
}
static inline void nshm__at_fork(void) { pthread_atfork(NULL, NULL, nshm__forked); }
static inline uint32_t nshm__pid_namespace(void) {
    struct stat s;
    return stat("/proc/self/ns/pid", &s) ? NSHM_MIXED : (uint32_t)s.st_ino;
}
static __attribute__((noinline, unused)) uint32_t nshm__introduce(void) { /* the first time in a thread */
    pthread_once(&nshm__once, nshm__at_fork);
    nshm__me.tid = (uint32_t)syscall(SYS_gettid);
    nshm__me.head = nshm__robust(nshm__me.tid);
    nshm__me.space = nshm__pid_namespace();
    if (!nshm__me.held) {
        nshm__me.held = nshm__me.few;
        nshm__me.room = 8;
    }
    return nshm__me.tid;
}
static inline uint32_t nshm__tid(void) { return nshm__me.tid ? nshm__me.tid : nshm__introduce(); }
static inline void nshm__pending(uint32_t *word) { nshm__pend(nshm__me.head, word ? word : nshm__me.keep); }

/* Room for more before a mutex is taken: afterwards nothing may fail. */
static inline int nshm__reserve_room(int more) {
    if (nshm__me.count + more > nshm__me.room) {
        int room = (nshm__me.count + more) * 2;
        nshm__own *p = (nshm__own *)realloc(nshm__me.held == nshm__me.few ? NULL : nshm__me.held, (size_t)room * sizeof *p);
        if (!p) return -ENOMEM;
        if (nshm__me.held == nshm__me.few) memcpy(p, nshm__me.few, sizeof nshm__me.few);
        nshm__me.held = p;
        nshm__me.room = room;
    }
    return 0;
}
static inline int nshm__held_index(uint64_t identity) {
    for (int k = nshm__me.count; k-- > 0;)
        if (nshm__me.held[k].identity == identity) return k;
    return -1;
}

/* ------------------------------------------------------------------------------------------------ the robust list
 * Linked as the C libraries link it, so that their robust mutexes can be neighbours: `prev` holds the address of the link that leads
 * to a node, and stands before its `next`; the lowest bit of a link marks a priority-inheriting mutex (theirs).  A kill may come
 * between any two stores: the kernel follows `next` only, and that is whole at each.  All of it is private memory, unless the
 * program has put robust mutexes of the C library into memory that others write. */
typedef struct {
    struct robust_list *prev, *next;
} __attribute__((packed, aligned(4))) nshm__links; /* musl's offset is not a multiple of 8 */

static inline nshm__links *nshm__links_of(uint32_t *word) { return (nshm__links *)((char *)word - nshm__me.head->futex_offset - 8); }
static inline nshm__links *nshm__links_at(struct robust_list *p) { return (nshm__links *)(((uintptr_t)p & ~(uintptr_t)1) - 8); }
/* Would the links of a word near the end of its page lie in the page behind, where we keep room for them? */
static inline int nshm__linkable(const uint32_t *word) {
    long at = (long)((uintptr_t)word & 4095) - nshm__me.head->futex_offset - 8 - 4096;
    return at >= 0 && at + (long)sizeof(nshm__links) <= (long)offsetof(nshm__private, holder);
}
static inline void nshm__link(uint32_t *word) { /* at the front */
    struct robust_list *front = &nshm__me.head->list, *first = front->next;
    nshm__links *ours = nshm__links_of(word);
    struct robust_list *node = (struct robust_list *)((char *)ours + 8);
    ours->prev = front;
    ours->next = first;
    if (first != front) nshm__links_at(first)->prev = node;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    *(struct robust_list *volatile *)&front->next = node;
}
static inline void nshm__unlink(uint32_t *word) {
    nshm__links *ours = nshm__links_of(word);
    struct robust_list *prev = ours->prev, *next = ours->next;
    if (prev == &nshm__me.head->list) *(struct robust_list *volatile *)&prev->next = next;
    else ((volatile nshm__links *)nshm__links_at(prev))->next = next;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    if (next != &nshm__me.head->list) nshm__links_at(next)->prev = prev;
}

/* May the page's node be in a list still?  `holder`: as read from the page.  Not if that thread is gone, or the kernel is done with its
 * list (it clears the list's head then), or a later thread has its number. */
static inline int nshm__in_use(const nshm__private *p, uint32_t holder) {
    struct robust_list_head *head = NULL;
    size_t n;
    if (!holder || (holder & NSHM__CLAIMING)) return holder != 0;
    return !syscall(SYS_get_robust_list, holder & FUTEX_TID_MASK, &head, &n) && head == p->head;
}
/* The page's node is to be ours: 1; 0 if another thread of this process has it, though the word was to be had.  This can be for an
 * instant, while the kernel goes through a dying owner's list.  Otherwise somebody wrote over the word. */
static inline int nshm__claim(nshm_words *w) {
    nshm__private *p = nshm__behind(w);
    uint32_t holder = __atomic_load_n(&p->holder, __ATOMIC_ACQUIRE);
    do {
        if (nshm__in_use(p, holder)) return 0;
    } while (!__atomic_compare_exchange_n(&p->holder, &holder, nshm__me.tid | NSHM__CLAIMING, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
    p->head = nshm__me.head;
    __atomic_store_n(&p->holder, nshm__me.tid, __ATOMIC_RELEASE);
    return 1;
}
/* And no more.  A handle that was closed meanwhile left its attachment to us.  `in_operation`: this is an operation on that handle, so
 * nobody closes it, and nobody else changes `holder` while it is ours. */
static inline void nshm__unclaim(nshm_words *w, int in_operation) {
    if (in_operation) __atomic_store_n(&nshm__behind(w)->holder, 0, __ATOMIC_RELEASE);
    else if (__atomic_exchange_n(&nshm__behind(w)->holder, 0, __ATOMIC_ACQ_REL) & NSHM__KEPT) munmap(w, nshm__span(NSHM_MUTEX, NSHM_WORDS_SIZE, 0));
}

/* ------------------------------------------------------------------------------------------------ futexes */
static inline void nshm__wake(uint32_t *word, int n) { syscall(SYS_futex, word, FUTEX_WAKE, n, NULL, NULL, 0); }

struct nshm__waitv { /* struct futex_waitv of linux/futex.h, which older headers lack */
    uint64_t val, uaddr;
    uint32_t flags, reserved;
};
static inline int nshm__result(long r) { return r < 0 ? -errno : 0; }
static inline void nshm__pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* ------------------------------------------------------------------------------------------------ one object
 * try: 0 taken, NSHM_ABANDONED taken from a dead owner, -EAGAIN not signaled, -EBUSY look again soon: see nshm_settle. */
typedef struct {
    nshm_words *words;
    nshm_place *place;
    uint64_t identity;
    uint32_t type, manual, maximum; /* copied at opening: the page's own could be overwritten */
    uint32_t pulse;                 /* generation at which this wait began */
} nshm_waitee;

static inline int64_t nshm_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}
static inline uint32_t nshm__bit(const nshm_waitee *o) { return o->type == NSHM_MUTEX ? NSHM_RESERVED_MUTEX : NSHM_RESERVED; }

/* Before a mutex is taken: from now on it is used from several PID namespaces.  Who sleeps begins anew, not keeping it pending. */
static inline void nshm__mix(nshm_words *w) {
    uint32_t space = __atomic_load_n(&w->space, __ATOMIC_RELAXED);
    if (space == nshm__me.space || space == NSHM_MIXED) return;
    __atomic_store_n(&w->space, NSHM_MIXED, __ATOMIC_SEQ_CST);
    nshm__wake(&w->state, INT_MAX);
}
/* Is every user's thread id another? */
static inline int nshm__unmixed(const nshm_words *w) {
    uint32_t space = __atomic_load_n(&w->space, __ATOMIC_SEQ_CST);
    return space == nshm__me.space && space != NSHM_MIXED;
}
static inline void nshm__own_it(const nshm_waitee *o) { /* claimed, and room reserved */
    nshm__own own = {o->identity, o->words, 1};
    nshm__me.held[nshm__me.count++] = own;
    nshm__link(&o->words->state);
}
/* Once more what this thread owns, held[k]. */
static inline int nshm__deepen(const nshm_waitee *o, int k) {
    if ((__atomic_load_n(&o->words->state, __ATOMIC_RELAXED) & FUTEX_TID_MASK) != nshm__me.tid) return -EUCLEAN; /* written over */
    if (nshm__me.held[k].depth == UINT_MAX) return -EOVERFLOW;
    nshm__me.held[k].depth++;
    return 0;
}
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
        /* Our death must wake who sleeps: from the first instant (a woken waiter counts itself), and who came since the look. */
        uint32_t mine = nshm__me.tid | (v & FUTEX_WAITERS) | (__atomic_load_n(&w->waiters, __ATOMIC_SEQ_CST) ? FUTEX_WAITERS : 0);
        nshm__pending(&w->state);
        NSHM_STEP("taking");
        if (__atomic_compare_exchange_n(&w->state, &v, mine, 0, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE)) {
            NSHM_STEP("mutex-taken");
            if (!nshm__claim(w)) { /* back, with what was to be told */
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
/* Was a manual event set or pulsed since the wait began; has an auto-reset one a credit left by a pulse since?  That is not in the
 * state any more. */
static inline int nshm__pulsed(const nshm_waitee *o) {
    uint32_t p = __atomic_load_n(&o->words->pulse, __ATOMIC_SEQ_CST);
    return p >> 1 != o->pulse >> 1 && (o->manual || (p & 1));
}
static inline int nshm__try_event(nshm_waitee *o) {
    nshm_words *w = o->words;
    uint32_t v = __atomic_load_n(&w->state, __ATOMIC_SEQ_CST), p;
    if (v & NSHM_RESERVED) return -EBUSY;
    if (o->manual) return v || nshm__pulsed(o) ? 0 : -EAGAIN;
    while (v && !(v & NSHM_RESERVED))
        if (__atomic_compare_exchange_n(&w->state, &v, 0, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) return 0;
    if (v & NSHM_RESERVED) return -EBUSY;
    p = __atomic_load_n(&w->pulse, __ATOMIC_ACQUIRE); /* one credit for one waiter that began before the pulse */
    if ((p & 1) && p >> 1 != o->pulse >> 1 &&
        __atomic_compare_exchange_n(&w->pulse, &p, p & ~1u, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
        return 0;
    return -EAGAIN;
}
static inline uint32_t nshm__count(uint64_t counter) { return (uint32_t)(counter >> 32); }
static inline uint64_t nshm__counter(uint32_t count) { return (uint64_t)count << 32 | (count ? NSHM_SET : 0); }

static inline int nshm__try_semaphore(nshm_waitee *o) {
    uint64_t v = __atomic_load_n(&o->words->counter, __ATOMIC_SEQ_CST);
    while (v) {
        uint32_t n = nshm__count(v);
        if (v & NSHM_RESERVED) return -EBUSY;
        if (__atomic_compare_exchange_n(&o->words->counter, &v, nshm__counter(n ? n - 1 : 0), 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            return n ? 0 : -EAGAIN; /* set, but none there: somebody wrote over the page */
    }
    return -EAGAIN;
}
static inline int nshm__try(nshm_waitee *o) {
    switch (o->type) {
    case NSHM_MUTEX: return nshm__try_mutex(o);
    case NSHM_EVENT: return nshm__try_event(o);
    case NSHM_SEMAPHORE: return nshm__try_semaphore(o);
    default: return -EINVAL;
    }
}

/* A registry's lock, waiting for it until then.  -ETIMEDOUT, -EINTR. */
static inline int nshm__lock_registry(nshm_registry *t, int64_t until) {
    int r;
    uint32_t slept = 0;
    if (nshm__me.keep) nshm__wake(nshm__me.keep, 1); /* now the lock is what is pending: who sleeps there must not depend on us */
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
static inline int nshm__contradicts(const nshm_waitee *o) { /* a mutex: free, says the word, but a thread of ours has it */
    nshm__private *p = nshm__behind(o->words);
    return !(__atomic_load_n(&o->words->state, __ATOMIC_SEQ_CST) & FUTEX_TID_MASK) &&
           nshm__in_use(p, __atomic_load_n(&p->holder, __ATOMIC_ACQUIRE));
}
/* After -EBUSY: until it is worth another try.  0, -ETIMEDOUT, -EINTR, -EUCLEAN.  What there can be:
 *   - a reservation.  It lasts microseconds, under the registry's lock.  One that is still there when we hold that lock is a dead
 *     process's: we take it off.  Where we may not lock (another user's Global objects) we wait for it to end.
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

/* What to sleep on, as futex_waitv wants it. */
static inline struct nshm__waitv nshm__while(const uint32_t *word, uint32_t value) {
    struct nshm__waitv v;
    v.val = value;
    v.uaddr = (uint64_t)(uintptr_t)word;
    v.flags = 2; /* FUTEX_32, shared between processes */
    v.reserved = 0;
    return v;
}
/* Begin to sleep on it, with `waiters` raised: how many entries of v, or -EAGAIN if it is worth another try.  Never on a
 * reservation: whoever ends it may be dead.  For a manual event there are two: it may be set and reset before we sleep. */
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
    if (o->type != NSHM_EVENT || all) return 1; /* a wait-all looks at the state alone */
    p = __atomic_load_n(&w->pulse, __ATOMIC_SEQ_CST);
    if (nshm__pulsed(o)) return -EAGAIN;
    v[1] = nshm__while(&w->pulse, p); /* read before: a later one makes the kernel's comparison fail */
    return o->manual ? 2 : 1;
}
/* Done sleeping: if it is there for others as well, they must not depend on the wake-up that came to us. */
static inline void nshm__leave(nshm_waitee *o) {
    nshm_words *w = o->words;
    if (!__atomic_sub_fetch(&w->waiters, 1, __ATOMIC_SEQ_CST)) return;
    uint32_t v = __atomic_load_n(&w->state, __ATOMIC_SEQ_CST);
    if (o->type == NSHM_MUTEX) {
        while ((v & FUTEX_TID_MASK) && !(v & FUTEX_WAITERS))
            if (__atomic_compare_exchange_n(&w->state, &v, v | FUTEX_WAITERS, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) return;
        if (!(v & FUTEX_TID_MASK)) nshm__wake(&w->state, 1);
    } else if (o->manual) { /* for all who slept, also if it was reset since */
        if (v || nshm__pulsed(o)) nshm__wake(&w->state, INT_MAX);
    } else if (v) {
        nshm__wake(&w->state, 1);
    }
}

/* ------------------------------------------------------------------------------------------------ waiting */
typedef struct {
    nshm_waitee object[NSHM_WAIT_MAX];
    int count, all, begun;
    int64_t deadline;   /* CLOCK_MONOTONIC nanoseconds; INT64_MAX never; 0 do not wait */
    int64_t spin;       /* nanoseconds to try before sleeping */
    uint64_t abandoned; /* out: bit per object */
} nshm_wait_context;

static inline int nshm__signaled(nshm_waitee *o) { /* reserved or not: that ends */
    uint32_t v = __atomic_load_n(&o->words->state, __ATOMIC_SEQ_CST);
    if (o->type == NSHM_MUTEX) return !(v & FUTEX_TID_MASK & ~NSHM_RESERVED_MUTEX) || nshm__held_index(o->identity) >= 0;
    return (v & ~NSHM_RESERVED) != 0;
}

static inline void nshm__unreserve(nshm_waitee *o) {
    __atomic_fetch_and(&o->words->state, ~nshm__bit(o), __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&o->words->waiters, __ATOMIC_SEQ_CST)) nshm__wake(&o->words->state, INT_MAX);
}
/* Take all or nothing.  Reserve every object (others wait for the outcome), then commit.  Callers hold the registries' locks, so
 * a reservation met here is a dead process's: it is taken over. */
static inline int nshm__take_all(nshm_wait_context *c) {
    int k, r = 0;
    for (k = 0; k < c->count; k++) {
        nshm_waitee *o = &c->object[k];
        uint32_t v = __atomic_load_n(&o->words->state, __ATOMIC_SEQ_CST);
        int mutex = o->type == NSHM_MUTEX;
        if (mutex && nshm__held_index(o->identity) >= 0) continue; /* ours: nobody else can take it */
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
            nshm__own_it(o); /* linked before it is ours: the registry's lock is what this thread has pending */
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
/* -EBUSY also when the registries' locks were not to be had until then. */
static inline int nshm__try_all(nshm_wait_context *c, int64_t until) {
    nshm_registry *first = NULL, *second = NULL; /* Local before Global: nobody locks them the other way round */
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
    if (second) { /* a thread has one lock pending: the first goes into its robust list for the while */
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
/* One pass over the objects: an index (plus NSHM_ABANDONED); -EAGAIN: none is there; -EBUSY: somebody else is deciding. */
static inline int nshm__pass(nshm_wait_context *c) {
    int r, k, busy = 0;
    if (c->all) {
        int64_t now = nshm_now(), until = now + (c->deadline ? NSHM_NAP : NSHM_BRIEF);
        r = nshm__try_all(c, c->deadline && c->deadline < until ? c->deadline : until);
        if (r) return r;
        for (k = 0; k < c->count; k++)
            if (c->abandoned >> k & 1) return k | NSHM_ABANDONED;
        return 0;
    }
    for (k = 0; k < c->count; k++) {
        nshm_waitee *o = &c->object[k];
        if ((r = nshm__try(o)) == -EBUSY && !(r = nshm_settle(o, nshm_now() + NSHM_BRIEF))) r = nshm__try(o);
        if (r == NSHM_ABANDONED) {
            c->abandoned = 1ull << k;
            return k | NSHM_ABANDONED;
        }
        if (r == -EBUSY || r == -ETIMEDOUT) busy = 1;
        else if (r != -EAGAIN) return r ? r : k;
    }
    return busy ? -EBUSY : -EAGAIN;
}
/* Sleep until one of the objects may have changed.  0, -EAGAIN (look again), -ETIMEDOUT, -EINTR.
 * The one that is waited for stays pending (nshm__me.keep) until nshm__leave_all: see "Kills".  Not a mutex that somebody with our
 * number may have, or come to have: the kernel would take us for it. */
static inline int nshm__sleep(nshm_wait_context *c) {
    struct nshm__waitv v[2 * NSHM_WAIT_MAX];
    int64_t now = nshm_now(), end = c->deadline < now + NSHM_NAP ? c->deadline : now + NSHM_NAP;
    struct timespec until = {end / 1000000000, end % 1000000000};
    nshm_waitee *only = c->count == 1 ? &c->object[0] : NULL;
    int k, n = 0, r = 0;
    for (k = 0; k < c->count; k++) __atomic_add_fetch(&c->object[k].words->waiters, 1, __ATOMIC_SEQ_CST);
    NSHM_STEP("armed");
    for (k = 0; k < c->count; k++) {
        nshm_waitee *o = &c->object[k];
        if (c->all && nshm__signaled(o)) continue; /* a wait-all sleeps on what is missing */
        if ((r = nshm__arm(o, c->all, &v[n])) < 0) break;
        n += r;
    }
    if (r >= 0 && only && (only->type != NSHM_MUTEX || nshm__unmixed(only->words))) nshm__me.keep = &only->words->state;
    if (r >= 0 && n) {
        uint32_t *word = (uint32_t *)(uintptr_t)v[0].uaddr;
        nshm__pending(NULL);
        r = n == 1 ? -ENOSYS : nshm__result(syscall(SYS_futex_waitv, v, n, 0, &until, CLOCK_MONOTONIC));
        if (r == -ENOSYS || r == -EPERM) { /* one word; or before Linux 5.16, or in a sandbox: the others every millisecond */
            int64_t soon = c->count > 1 && now + 1000000 < end ? now + 1000000 : end;
            struct timespec nap = {soon / 1000000000, soon % 1000000000};
            r = nshm__result(syscall(SYS_futex, word, FUTEX_WAIT_BITSET, (uint32_t)v[0].val, &nap, NULL, FUTEX_BITSET_MATCH_ANY));
        }
        if (r == -ETIMEDOUT && (c->deadline == INT64_MAX || nshm_now() < c->deadline)) r = 0; /* just a nap */
    }
    NSHM_STEP("woken");
    return r;
}
static inline void nshm__leave_all(nshm_wait_context *c) {
    for (int k = 0; k < c->count; k++) nshm__leave(&c->object[k]);
    nshm__me.keep = NULL;
    nshm__pending(NULL);
}

/* Instead of a sleep: never on a reservation, for whoever made it may be dead.  One object is waited for in earnest, for several we look
 * again soon. */
static inline int nshm__hold_on(nshm_wait_context *c) {
    int64_t soon = nshm_now() + NSHM_NAP;
    if (c->count > 1) return nshm__nap(c->deadline);
    int r = nshm_settle(&c->object[0], c->deadline < soon ? c->deadline : soon);
    return r == -ETIMEDOUT && nshm_now() < c->deadline ? 0 : r;
}
/* Wait for one (all == 0: the lowest signaled index, only that one is taken) or for all of the objects (atomically). */
static inline int nshm_wait(nshm_wait_context *c) {
    int r, mutexes = 0;
    if (c->count < 1 || c->count > NSHM_WAIT_MAX) return -EINVAL;
    if (c->count == 1) c->all = 0; /* the same, and quicker */
    if (c->all) /* the same object twice cannot be taken at once */
        for (int k = 1; k < c->count; k++)
            for (int i = 0; i < k; i++)
                if (c->object[i].identity == c->object[k].identity) return -EINVAL;
    nshm__tid();
    if (!nshm__me.head) return -ENOSYS;
    if (!c->begun) { /* not again after -EINTR: a pulse in between was for us */
        for (int k = 0; k < c->count; k++) {
            c->object[k].pulse = __atomic_load_n(&c->object[k].words->pulse, __ATOMIC_SEQ_CST);
            mutexes += c->object[k].type == NSHM_MUTEX;
        }
        c->begun = 1;
        c->abandoned = 0;
    } else mutexes = c->count;
    if (mutexes && (r = nshm__reserve_room(mutexes))) return r;
    r = nshm__pass(c);
    if (r != -EAGAIN && r != -EBUSY) return r;
    if (!c->deadline) return -ETIMEDOUT;
    if (c->spin > 0) {
        int64_t end = nshm_now(), pauses = 1;
        end = c->deadline - end < c->spin ? c->deadline : end + c->spin;
        do { /* looks less and less often: each look takes the word away from an owner, who needs it to release */
            for (int i = 0; i < pauses; i++) {
                nshm__pause();
                if (c->object[0].type != NSHM_MUTEX && nshm__signaled(&c->object[0])) break;
            }
            if (pauses < NSHM_PAUSES) pauses *= 2;
            r = nshm__pass(c);
            if (r != -EAGAIN && r != -EBUSY) return r;
        } while (nshm_now() < end);
    }
    for (;;) {
        int busy = r == -EBUSY, slept;
        if (busy) slept = nshm__hold_on(c);
        else slept = nshm__sleep(c);
        r = nshm__pass(c);
        if (!busy) nshm__leave_all(c); /* nshm__sleep has raised `waiters` of all */
        if (r != -EAGAIN && r != -EBUSY) return r;
        if (slept && slept != -EAGAIN) return slept; /* the time is up, a signal, or an error */
        if (c->deadline != INT64_MAX && nshm_now() >= c->deadline) return -ETIMEDOUT;
    }
}

/* Take one object now: 0, NSHM_ABANDONED; -EAGAIN: not signaled; -EBUSY: somebody's wait-all is deciding. */
static inline int nshm_try_once(nshm_waitee *o) {
    int r;
    nshm__tid();
    if (!nshm__me.head) return -ENOSYS;
    if (o->type == NSHM_MUTEX) return (r = nshm__reserve_room(1)) ? r : nshm__try_mutex(o);
    o->pulse = __atomic_load_n(&o->words->pulse, __ATOMIC_SEQ_CST);
    return nshm__try(o);
}
/* The same, but what is still not decided after NSHM_BRIEF is not there: as nshm_wait with deadline 0, without the context. */
static inline int nshm_try(nshm_waitee *o) {
    int64_t until = 0;
    int r;
    while ((r = nshm_try_once(o)) == -EBUSY) {
        if (!until) until = nshm_now() + NSHM_BRIEF;
        if ((r = nshm_settle(o, until))) return r == -ETIMEDOUT ? -EAGAIN : r;
    }
    return r;
}

/* ------------------------------------------------------------------------------------------------ watching
 * For event loops: one thread sleeps for many waits at once and takes nothing.  A watch is of waits already begun (polled with
 * deadline 0); it returns when any of them may succeed, or *control is no longer `seen`.  Bit k of *ready: wait k deserves a poll. */
#define NSHM_WATCH_MAX 127 /* objects of all waits together: FUTEX_WAITV_MAX less the control word */

static inline int nshm_watch(nshm_wait_context **waits, int count, uint32_t *control, uint32_t seen, unsigned char *ready) {
    struct nshm__waitv v[NSHM_WATCH_MAX + 2];
    unsigned char of[NSHM_WATCH_MAX + 2];
    int i, k, n = 1, any = 0, r, spare = NSHM_WATCH_MAX;
    if (count < 0 || count > NSHM_WATCH_MAX) return -EINVAL;
    for (i = 0; i < count; i++) spare -= waits[i]->count;
    if (spare < 0) return -EINVAL;
    nshm__tid();
    memset(ready, 0, (size_t)count);
    v[0] = nshm__while(control, seen);
    for (i = 0; i < count; i++)
        for (k = 0; k < waits[i]->count; k++) __atomic_add_fetch(&waits[i]->object[k].words->waiters, 1, __ATOMIC_SEQ_CST);
    NSHM_STEP("armed");
    for (i = 0; i < count; i++) {
        int missing = 0;
        for (k = 0; k < waits[i]->count; k++) {
            nshm_waitee *o = &waits[i]->object[k];
            if (waits[i]->all && nshm__signaled(o)) continue; /* sleeps on what is missing; all there: nothing to sleep on */
            missing = 1;
            if ((r = nshm__arm(o, waits[i]->all, &v[n])) < 0) {
                missing = 0;
                break;
            }
            if (r == 2 && spare-- <= 0) r = 1; /* no room for the pulses of so many manual events: the nap sees them */
            while (r--) of[n++] = (unsigned char)i;
        }
        if (!missing) any = ready[i] = 1;
    }
    if (!any) {
        int64_t end = nshm_now() + NSHM_NAP;
        struct timespec until = {end / 1000000000, end % 1000000000}, nap = {0, 1000000};
        r = (int)syscall(SYS_futex_waitv, v, n, 0, &until, CLOCK_MONOTONIC);
        if (r < 0 && errno == ETIMEDOUT) memset(ready, 1, (size_t)count);
        if (r < 0 && (errno == ENOSYS || errno == EPERM)) /* before Linux 5.16, or in a sandbox: look every millisecond */
            r = (int)syscall(SYS_futex, control, FUTEX_WAIT, seen, &nap, NULL, 0);
        if (r > 0) ready[of[r]] = 1;
        for (k = 1; k < n; k++) /* others may have changed as well, or instead (EAGAIN) */
            if (__atomic_load_n((uint32_t *)(uintptr_t)v[k].uaddr, __ATOMIC_SEQ_CST) != (uint32_t)v[k].val) ready[of[k]] = 1;
        for (i = 0; i < count; i++) /* a pulse does not stay in the state */
            for (k = 0; k < waits[i]->count && !waits[i]->all; k++)
                if (waits[i]->object[k].type == NSHM_EVENT && nshm__pulsed(&waits[i]->object[k])) ready[i] = 1;
    }
    NSHM_STEP("woken");
    for (i = 0; i < count; i++)
        for (k = 0; k < waits[i]->count; k++) nshm__leave(&waits[i]->object[k]);
    return 0;
}

/* ------------------------------------------------------------------------------------------------ changing
 * As many are woken as can have it, whatever they wait for: who does not take it wakes the next (nshm__leave). */
static inline void nshm__wake_for(nshm_words *w, int n) {
    if (__atomic_load_n(&w->waiters, __ATOMIC_SEQ_CST)) nshm__wake(&w->state, n);
}
/* -EPERM: this thread does not own it.  -EUCLEAN: it did, but somebody wrote over the word; it owns it no more. */
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
    linked = nshm__me.held[k].words; /* maybe another attachment, of a handle closed since */
    nshm__pending(&w->state);
    nshm__unlink(&linked->state);
    for (nshm__me.count--; k < nshm__me.count; k++) nshm__me.held[k] = nshm__me.held[k + 1];
    nshm__unclaim(linked, linked == w); /* before the word is free: its next owner may be a thread of ours */
    if (!lost) {
        NSHM_STEP("releasing");
        v = __atomic_exchange_n(&w->state, 0, __ATOMIC_SEQ_CST);
        NSHM_STEP("released");
        if ((v & FUTEX_WAITERS) || __atomic_load_n(&w->waiters, __ATOMIC_SEQ_CST)) {
            if (!nshm__unmixed(w)) nshm__pending(NULL); /* our namesake may have it at once */
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
static inline int nshm_event_set(nshm_waitee *o) {
    nshm_words *w = o->words;
    uint32_t v = __atomic_load_n(&w->state, __ATOMIC_SEQ_CST);
    nshm__tid();
    if (v & NSHM_RESERVED) return -EBUSY;
    nshm__pending(&w->state);
    if (o->manual) __atomic_fetch_add(&w->pulse, 2, __ATOMIC_SEQ_CST); /* releases who waits now, even if reset at once */
    for (v = __atomic_load_n(&w->state, __ATOMIC_SEQ_CST); !(v & NSHM_RESERVED);)
        if (v || __atomic_compare_exchange_n(&w->state, &v, NSHM_SET, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) break; /* sets do not add up */
    NSHM_STEP("set");
    if (!(v & NSHM_RESERVED)) nshm__wake_for(w, o->manual ? INT_MAX : 1); /* also if it was set already: who did may have been killed before this line */
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
/* Release who waits now (one, if auto-reset), then be nonsignaled.  Unreliable by nature, as Microsoft says of PulseEvent. */
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
/* -EOVERFLOW: beyond the maximum, nothing changed. */
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

/* ------------------------------------------------------------------------------------------------ making */
typedef struct {
    uint32_t type, manual, maximum, initial;
} nshm_sync_start;

static inline int nshm_sync_fill(nshm_handle *h, void *context) { /* an nshm_filler: before the name exists */
    const nshm_sync_start *start = (const nshm_sync_start *)context;
    nshm_words *w = (nshm_words *)h->data;
    w->type = start->type;
    w->manual = start->manual;
    w->maximum = start->maximum;
    if (start->type == NSHM_EVENT) w->state = start->initial ? NSHM_SET : 0;
    else if (start->type == NSHM_SEMAPHORE) w->counter = nshm__counter(start->initial);
    else if (start->type == NSHM_MUTEX) {
        nshm__tid();
        w->space = nshm__me.space;
    }
    if (start->type == NSHM_MUTEX && start->initial) { /* owned by this thread from the first instant */
        nshm_waitee o = {w, h->place, h->nonce, NSHM_MUTEX, 0, 0, 0};
        int r;
        if (!nshm__me.head || !nshm__linkable(&w->state)) return -ENOSYS;
        if (nshm__me.count >= NSHM_OWNED_MAX) return -ENOLCK;
        if ((r = nshm__reserve_room(1))) return r;
        nshm__claim(w);
        nshm__own_it(&o); /* linked first: what this thread has pending is the registry's lock */
        w->state = nshm__me.tid;
    }
    return 0;
}
/* What waits and changes work on.  -EUCLEAN: the page is not of that type. */
static inline int nshm_sync_waitee(const nshm_handle *h, uint32_t type, nshm_waitee *o) {
    o->words = (nshm_words *)h->data;
    o->place = h->place;
    o->identity = h->nonce;
    o->type = h->type;
    o->manual = o->words->manual;
    o->maximum = o->words->maximum;
    o->pulse = 0;
    return h->type == type && o->words->type == type ? 0 : -EUCLEAN;
}
/* Before the handle's page is unmapped, with no operation on it under way: is it to stay mapped?  Yes while a thread of this process
 * owns the mutex through it; then that thread unmaps it when it releases.  (If it never does, because it ends: with the process.) */
static inline int nshm_sync_keep(const nshm_waitee *o) {
    if (o->type != NSHM_MUTEX) return 0;
    nshm__private *p = nshm__behind(o->words);
    uint32_t holder = __atomic_load_n(&p->holder, __ATOMIC_ACQUIRE);
    while (nshm__in_use(p, holder))
        if (__atomic_compare_exchange_n(&p->holder, &holder, holder | NSHM__KEPT, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) return 1;
    return 0;
}
#endif
