/* namedshm_sync.h - named mutexes, events and semaphores, and waits on several of them, on Linux.
 *
 * What:   the waitable kernel objects of Windows, with the names and lifetime of namedshm.h: an object is a token (its name) and
 *         one page of words (its state).  Uncontended operations are one compare-and-swap; sleeping is a shared futex.
 * Why:    abandonment is told by the kernel (the owner's robust list, set_robust_list(2)): no polling, no pids.
 * Not:    fair.  Whoever comes first takes it; a woken waiter may find it taken again and sleeps on.
 *
 * Who owns a mutex is a thread.  Waiting functions return the index of the satisfied object, plus NSHM_ABANDONED if it is a mutex
 * whose owner died, or -ETIMEDOUT, -EINTR (call again with the same context), -EINVAL, -ETIME (a reservation that does not end).
 *
 * Kills: whatever a process holds when it is killed is given up by the kernel.  Whoever owes a wake-up has the word "pending" in its
 * robust list, and if it is killed the kernel wakes one sleeper instead (handle_futex_death: for a pending word with no thread id in
 * it).  That is a changer from before its change until it has woken, and a sleeper from before its sleep until it has taken the
 * object or, if it is there for more, woken the next.  So of a wait for one object no wake-up is lost, whoever is killed.  A thread
 * has one pending word: in a wait for several it is the first mutex's, else the first object's, and changers wake everybody while
 * somebody waits for several.  What is left: the kernel wakes one for a dead owner or changer, and that one waits for several and dies
 * as well, perhaps as a thread of the same process; or the mutex is reserved by a wait-all that died.  And a process that is stopped
 * keeps a wake-up to itself.  For these a sleeper looks again every NSHM_NAP.  A wait-all killed in its commit has taken what it had
 * taken.
 *
 * PID namespaces: thread ids of two that share IPC can be equal.  Who owns a mutex is told apart by `owner`; but the kernel, asked to
 * give up a pending word, compares thread ids only, and would free a namesake's mutex.  Hence `space`: a mutex used from several is
 * not kept pending where it need not be.  What remains are the few instructions between pending a free word and having taken it
 * or not, and between releasing it and pending it no more: whoever is killed exactly there, while its namesake has just taken it.
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
#ifndef NSHM_PAUSES
#define NSHM_PAUSES 64 /* most between two looks of who spins; about a microsecond */
#endif
#ifndef NSHM_NAP
#define NSHM_NAP 500000000 /* nanoseconds */
#endif

/* The page of a synchronisation object.
 *
 *   field     written by                        meaning
 *   manual    creator, before publication       event: stays set until reset
 *   maximum   creator, before publication       semaphore
 *   waiters   whoever sleeps                    how many; too high after a kill (costs a system call), never too low
 *   multi     whoever sleeps on several         the same, of waits on several objects
 *   pulse     event_set, event_pulse            generation << 1 | credit: what a waiter that began earlier may take
 *   state     compare-and-swap; the kernel      mutex: thread id | FUTEX_WAITERS | FUTEX_OWNER_DIED; event, semaphore: NSHM_SET or 0;
 *                                               with a reservation bit while a wait-all commits
 *   counter   compare-and-swap                  semaphore: state, and in the upper half the count: NSHM_SET if and only if not 0
 *   owner     the owner                         identity of its process; 0 when free.  Thread ids of two PID namespaces can be equal
 *   home      the owner                         which of its attachments the robust list goes through
 *   depth     the owner                         recursion
 *   space     creator; who comes from another   mutex: PID namespace of its users (inode number), or NSHM_MIXED
 *
 * What every acquisition writes is one cache line; who only sleeps or looks for sleepers uses another.  The gap beside `state` is for
 * the kernel's robust list node, which lies where the C library's robust_list_head says (glibc: 32 bytes on, musl: 28). */
typedef struct {
    uint32_t type, manual, maximum, spare;
    char gap0[48];
    uint32_t waiters, multi, pulse;
    char gap1[192 - 76];
    union {
        uint32_t state;
        uint64_t counter;
    };
    uint64_t owner;
    char node[32];
    uint64_t home;
    uint32_t depth, space;
} nshm_words;

#ifndef __cplusplus
_Static_assert(offsetof(nshm_words, waiters) == 64 && offsetof(nshm_words, state) == 192 && sizeof(nshm_words) == 256, "word layout");
#endif

/* ------------------------------------------------------------------------------------------------ this thread
 * Mutexes this thread owns, in the order of its robust list.  The list's links lie in shared memory, where others could change
 * them; we only write them there, for the kernel, and read from here.  Where the C library's own robust mutexes are neighbours,
 * its convention is kept: the pointer before a node's `next` holds the address of the link that leads to it. */
typedef struct {
    struct robust_list *node, *next; /* next as we wrote it */
    nshm_words *words;
    int data_id; /* which object; NSHM__REGISTRY for a registry's lock */
} nshm__own;
#define NSHM__REGISTRY (-2)

static __thread struct {
    uint32_t tid, space;
    int count, room;
    struct robust_list_head *head;
    uint32_t *keep;     /* what stays pending while this thread is in a wait: see nshm__sleep */
    nshm__own *held, few[8];
} nshm__me;
static uint64_t nshm__process; /* identity of this process, never 0 once set */

static inline void nshm__forked(void) { /* the child's only thread is new and owns nothing */
    nshm__me.tid = 0;
    nshm__me.count = 0;
    nshm__me.keep = NULL;
    nshm__process = 0;
}
static inline uint32_t nshm__pid_namespace(void) {
    struct stat s;
    return stat("/proc/self/ns/pid", &s) ? NSHM_MIXED : (uint32_t)s.st_ino;
}
static __attribute__((noinline, unused)) uint32_t nshm__introduce(void) { /* the first time in a thread */
    static int registered;
    uint64_t fresh = 0, none = 0;
    if (!__atomic_exchange_n(&registered, 1, __ATOMIC_SEQ_CST)) pthread_atfork(NULL, NULL, nshm__forked);
    while (!__atomic_load_n(&nshm__process, __ATOMIC_ACQUIRE)) {
        if (getrandom(&fresh, sizeof fresh, 0) == sizeof fresh && fresh)
            __atomic_compare_exchange_n(&nshm__process, &none, fresh, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
        none = 0;
    }
    nshm__me.tid = (uint32_t)syscall(SYS_gettid);
    nshm__me.head = nshm__robust(nshm__me.tid);
    nshm__me.space = nshm__pid_namespace();
    if (!nshm__me.held) {
        nshm__me.held = nshm__me.few;
        nshm__me.room = 8;
    }
    return nshm__me.tid;
}
static inline uint32_t nshm__tid(void) {
    return nshm__me.tid && __atomic_load_n(&nshm__process, __ATOMIC_RELAXED) ? nshm__me.tid : nshm__introduce();
}
static inline void nshm__pending(uint32_t *word) { nshm__pend(nshm__me.head, word ? word : nshm__me.keep); }

/* Room for more before a mutex is taken: afterwards nothing may fail.  (More than 8 at once: kept until the process ends.) */
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
static inline struct robust_list *nshm__plain(struct robust_list *p) { return (struct robust_list *)((uintptr_t)p & ~(uintptr_t)1); }
static inline int nshm__foreign(const struct robust_list *p) { /* a node of the C library's */
    if (p == &nshm__me.head->list) return 0;
    for (int k = nshm__me.count; k-- > 0;)
        if (nshm__me.held[k].node == p) return 0;
    return 1;
}
static inline void nshm__tell(struct robust_list *node, struct robust_list *link) { /* which link leads to a foreign node */
    if (nshm__foreign(node)) ((struct robust_list **)node)[-1] = link;
}
/* At the front.  A kill may come between any two stores: the list is whole at each. */
static inline void nshm__link(uint32_t *word, nshm_words *words, int data_id) {
    struct robust_list_head *head = nshm__me.head;
    nshm__own *own = &nshm__me.held[nshm__me.count];
    own->words = words;
    own->data_id = data_id;
    own->next = head->list.next;
    own->node = (struct robust_list *)((char *)word - head->futex_offset);
    own->node->next = own->next;
    nshm__tell(nshm__plain(own->next), own->node);
    nshm__me.count++;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    *(struct robust_list *volatile *)&head->list.next = own->node;
}
static inline struct robust_list *nshm__follow(const nshm__own *own) { /* what comes after one of ours */
    /* read from shared memory only if the C library may have changed it, which it does to take its own neighbour out */
    return nshm__foreign(nshm__plain(own->next)) ? own->node->next : own->next;
}
/* The link that leads to one of ours, if it is not the head.  *leader: whose it is, if that is one of ours as well. */
static __attribute__((noinline, unused)) struct robust_list *nshm__link_to(const nshm__own *own, nshm__own **leader) {
    struct robust_list *link = &nshm__me.head->list;
    for (int steps = 0; steps < 2048; steps++) { /* newer ones stand before it */
        struct robust_list *p = nshm__plain(*leader ? nshm__follow(*leader) : link->next);
        if (p == own->node || p == &nshm__me.head->list) break;
        link = p;
        *leader = NULL;
        for (int j = nshm__me.count; j-- > 0;)
            if (nshm__me.held[j].node == p) *leader = &nshm__me.held[j];
    }
    return link;
}
static inline void nshm__unlink(int k) {
    nshm__own *own = &nshm__me.held[k], *leader = NULL;
    struct robust_list *link = &nshm__me.head->list, *next = nshm__follow(own);
    if (link->next != own->node) link = nshm__link_to(own, &leader);
    *(struct robust_list *volatile *)&link->next = next;
    if (leader) leader->next = next;
    nshm__tell(nshm__plain(next), link);
    for (nshm__me.count--; k < nshm__me.count; k++) nshm__me.held[k] = nshm__me.held[k + 1];
}
static inline int nshm__held_index(int data_id) {
    for (int k = nshm__me.count; k-- > 0;)
        if (nshm__me.held[k].data_id == data_id) return k;
    return -1;
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
 * try: 0 taken, NSHM_ABANDONED taken from a dead owner, -EAGAIN not signaled, -EBUSY reserved by somebody's wait-all. */
typedef struct {
    nshm_words *words;
    nshm_place *place;
    int data_id;
    uint32_t type, manual, maximum; /* copied at opening: the page's own could be overwritten */
    uint32_t pulse;                 /* generation at which this wait began */
} nshm_waitee;

static inline uint32_t nshm__bit(const nshm_waitee *o) { return o->type == NSHM_MUTEX ? NSHM_RESERVED_MUTEX : NSHM_RESERVED; }

static inline int nshm__mine(const nshm_words *w, uint32_t v) { /* v: read with acquire, so `owner` is not from before it */
    return (v & FUTEX_TID_MASK) == nshm__me.tid && __atomic_load_n(&w->owner, __ATOMIC_RELAXED) == nshm__process;
}
static inline void nshm__own_it(nshm_waitee *o) {
    nshm__link(&o->words->state, o->words, o->data_id);
    o->words->depth = 1;
    o->words->home = (uint64_t)(uintptr_t)o->words;
    __atomic_store_n(&o->words->owner, nshm__process, __ATOMIC_RELEASE);
}
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
static inline int nshm__try_mutex(nshm_waitee *o) {
    nshm_words *w = o->words;
    uint32_t v = __atomic_load_n(&w->state, __ATOMIC_ACQUIRE);
    nshm__mix(w);
    for (;;) {
        if (nshm__mine(w, v)) {
            if (w->depth == UINT_MAX) return -EOVERFLOW;
            w->depth++;
            return 0;
        }
        if (v & NSHM_RESERVED_MUTEX) return -EBUSY;
        if (v & FUTEX_TID_MASK) return -EAGAIN;
        /* Our death must wake who sleeps: from the first instant (a woken waiter counts itself), and who came since the look. */
        uint32_t mine = nshm__me.tid | (v & FUTEX_WAITERS) | (__atomic_load_n(&w->waiters, __ATOMIC_SEQ_CST) ? FUTEX_WAITERS : 0);
        nshm__pending(&w->state);
        NSHM_STEP("taking");
        if (__atomic_compare_exchange_n(&w->state, &v, mine, 0, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE)) {
            NSHM_STEP("mutex-taken");
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

/* A registry's lock whose owner is stopped is an error of its own, not "the time is up". */
static inline int nshm__lock_registry(nshm_registry *t) {
    if (nshm__me.keep) nshm__wake(nshm__me.keep, 1); /* now the lock is what is pending: who sleeps there must not depend on us */
    int r = nshm__lock(t, 1);
    if (r) nshm__pending(NULL);
    return r == -ETIMEDOUT ? -ETIME : r;
}
static inline void nshm__unlock_registry(nshm_registry *t) {
    nshm__unlock(t);
    nshm__pending(NULL);
}
/* A reservation lasts microseconds, under the registry's lock.  One that is still there when we hold that lock is a dead
 * process's: we take it off.  Where we may not lock (another user's Global objects) we wait for it to end. */
static inline int nshm__settle(nshm_waitee *o, int *patience) {
    for (int i = 0; i < 100; i++) {
        if (!(__atomic_load_n(&o->words->state, __ATOMIC_ACQUIRE) & nshm__bit(o))) return 0;
        sched_yield();
    }
    if (!o->place->writable) return (*patience)-- > 0 ? 0 : -ETIME;
    int r = nshm__lock_registry(o->place->registry);
    if (r) return r;
    __atomic_fetch_and(&o->words->state, ~nshm__bit(o), __ATOMIC_SEQ_CST);
    nshm__unlock_registry(o->place->registry);
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

static inline int64_t nshm_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline int nshm__signaled(nshm_waitee *o) { /* reserved or not: that ends */
    uint32_t v = __atomic_load_n(&o->words->state, __ATOMIC_SEQ_CST);
    if (o->type == NSHM_MUTEX) return !(v & FUTEX_TID_MASK & ~NSHM_RESERVED_MUTEX) || nshm__mine(o->words, v);
    return (v & ~NSHM_RESERVED) != 0;
}

/* Take all or nothing.  Reserve every object (others wait for the outcome), then commit.  Callers hold the registries' locks, so
 * a reservation met here is a dead process's: it is taken over. */
static inline int nshm__take_all(nshm_wait_context *c) {
    int k, r = 0;
    for (k = 0; k < c->count; k++) {
        nshm_waitee *o = &c->object[k];
        uint32_t v = __atomic_load_n(&o->words->state, __ATOMIC_SEQ_CST);
        for (;;) {
            uint32_t without = v & ~nshm__bit(o);
            if (o->type == NSHM_MUTEX) nshm__mix(o->words);
            if (o->type == NSHM_MUTEX && nshm__mine(o->words, v)) break; /* ours: nobody else can take it */
            if (o->type == NSHM_MUTEX ? without & FUTEX_TID_MASK : !without) {
                r = -EAGAIN;
                break;
            }
            if (__atomic_compare_exchange_n(&o->words->state, &v, without | nshm__bit(o), 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) break;
        }
        if (r) break;
        NSHM_STEP("reserved");
    }
    if (r) {
        while (k-- > 0) {
            nshm_waitee *o = &c->object[k];
            if (o->type == NSHM_MUTEX && nshm__mine(o->words, __atomic_load_n(&o->words->state, __ATOMIC_SEQ_CST))) continue;
            __atomic_fetch_and(&o->words->state, ~nshm__bit(o), __ATOMIC_SEQ_CST);
            if (__atomic_load_n(&o->words->waiters, __ATOMIC_SEQ_CST)) nshm__wake(&o->words->state, INT_MAX);
        }
        return r;
    }
    for (k = 0; k < c->count; k++) {
        nshm_waitee *o = &c->object[k];
        nshm_words *w = o->words;
        uint32_t v = __atomic_load_n(&w->state, __ATOMIC_SEQ_CST);
        NSHM_STEP("committing");
        if (o->type == NSHM_MUTEX) {
            if (nshm__mine(w, v)) {
                w->depth++;
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
static inline int nshm__try_all(nshm_wait_context *c) {
    nshm_registry *first = NULL, *second = NULL; /* Local before Global: nobody locks them the other way round */
    int r, k;
    for (k = 0; k < c->count; k++) {
        nshm_place *p = c->object[k].place;
        if (!nshm__signaled(&c->object[k])) return -EAGAIN;
        if (!p->writable) return -EPERM;
        if (p->global) second = p->registry;
        else first = p->registry;
    }
    if (!first) {
        first = second;
        second = NULL;
    }
    if (second && (r = nshm__reserve_room(c->count + 1))) return r;
    if ((r = nshm__lock_registry(first))) return r;
    if (second) { /* a thread has one lock pending: the first goes into its robust list for the while */
        nshm__link(&first->lock, NULL, NSHM__REGISTRY);
        if (!(r = nshm__lock_registry(second))) {
            r = nshm__take_all(c);
            nshm__unlock(second);
        }
        nshm__pend(nshm__me.head, &first->lock);
        nshm__unlink(nshm__held_index(NSHM__REGISTRY));
    } else {
        r = nshm__take_all(c);
    }
    nshm__unlock_registry(first);
    return r;
}
/* One pass over the objects: an index (plus NSHM_ABANDONED), or -EAGAIN. */
static inline int nshm__pass(nshm_wait_context *c, int *patience) {
    int r, k;
    if (c->all) {
        r = nshm__try_all(c);
        if (r) return r;
        for (k = 0; k < c->count; k++)
            if (c->abandoned >> k & 1) return k | NSHM_ABANDONED;
        return 0;
    }
    for (k = 0; k < c->count; k++) {
        while ((r = nshm__try(&c->object[k])) == -EBUSY)
            if ((r = nshm__settle(&c->object[k], patience))) return r;
        if (r == NSHM_ABANDONED) {
            c->abandoned = 1ull << k;
            return k | NSHM_ABANDONED;
        }
        if (r != -EAGAIN) return r ? r : k;
    }
    return -EAGAIN;
}
/* Sleep until one of the objects may have changed.  0, -EAGAIN (look again), -ETIMEDOUT, -EINTR.
 * What is slept on stays pending (nshm__me.keep) until nshm__leave_all: see "Kills".  Not a mutex that somebody with our number may
 * have, or come to have: the kernel would take us for it. */
static inline int nshm__sleep(nshm_wait_context *c) {
    struct nshm__waitv v[2 * NSHM_WAIT_MAX];
    int64_t now = nshm_now(), end = c->deadline < now + NSHM_NAP ? c->deadline : now + NSHM_NAP;
    struct timespec until = {end / 1000000000, end % 1000000000};
    int k, n = 0, r = 0, keeps_mutex = 0;
    for (k = 0; k < c->count; k++) {
        __atomic_add_fetch(&c->object[k].words->waiters, 1, __ATOMIC_SEQ_CST);
        if (c->count > 1) __atomic_add_fetch(&c->object[k].words->multi, 1, __ATOMIC_SEQ_CST);
    }
    NSHM_STEP("armed");
    for (k = 0; k < c->count; k++) {
        nshm_waitee *o = &c->object[k];
        int mutex = o->type == NSHM_MUTEX;
        if (c->all && nshm__signaled(o)) continue; /* a wait-all sleeps on what is missing */
        if ((r = nshm__arm(o, c->all, &v[n])) < 0) break;
        n += r;
        if (mutex ? !keeps_mutex && nshm__unmixed(o->words) : !nshm__me.keep) {
            nshm__me.keep = &o->words->state;
            keeps_mutex = mutex;
        }
    }
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
static inline void nshm__leave_each(nshm_wait_context *c, int several) {
    for (int k = 0; k < c->count; k++) {
        if (several) __atomic_sub_fetch(&c->object[k].words->multi, 1, __ATOMIC_SEQ_CST);
        nshm__leave(&c->object[k]);
    }
}
static inline void nshm__leave_all(nshm_wait_context *c) {
    nshm__leave_each(c, c->count > 1);
    nshm__me.keep = NULL;
    nshm__pending(NULL);
}

/* Wait for one (all == 0: the lowest signaled index, only that one is taken) or for all of the objects (atomically). */
static inline int nshm_wait(nshm_wait_context *c) {
    int r, patience = 1000, mutexes = 0;
    if (c->count < 1 || c->count > NSHM_WAIT_MAX) return -EINVAL;
    if (c->count == 1) c->all = 0; /* the same, and quicker */
    if (c->all) /* the same object twice cannot be taken at once */
        for (int k = 1; k < c->count; k++)
            for (int i = 0; i < k; i++)
                if (c->object[i].data_id == c->object[k].data_id) return -EINVAL;
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
    if (mutexes && (r = nshm__reserve_room(mutexes + 1))) return r;
    if ((r = nshm__pass(c, &patience)) != -EAGAIN) return r;
    if (!c->deadline) return -ETIMEDOUT;
    if (c->spin > 0) {
        int64_t end = nshm_now() + c->spin;
        int pauses = 1;
        do { /* looks less and less often: each look takes the word away from an owner, who needs it to release */
            for (int i = 0; i < pauses; i++) {
                nshm__pause();
                if (c->object[0].type != NSHM_MUTEX && nshm__signaled(&c->object[0])) break;
            }
            if (pauses < NSHM_PAUSES) pauses *= 2;
            if ((r = nshm__pass(c, &patience)) != -EAGAIN) return r;
        } while (nshm_now() < end);
    }
    for (;;) {
        int slept = nshm__sleep(c); /* raises `waiters` of all */
        r = nshm__pass(c, &patience);
        nshm__leave_all(c);
        if (r != -EAGAIN) return r;
        if (slept && slept != -EAGAIN) return slept; /* the time is up, a signal, or an error */
        if (c->deadline != INT64_MAX && nshm_now() >= c->deadline) return -ETIMEDOUT;
    }
}

static inline int nshm_reserved(const nshm_waitee *o) { return (__atomic_load_n(&o->words->state, __ATOMIC_ACQUIRE) & nshm__bit(o)) != 0; }

/* Take one object now: 0, NSHM_ABANDONED; -EAGAIN: not signaled; -EBUSY: somebody's wait-all is deciding, nshm_try waits for that. */
static inline int nshm_try_once(nshm_waitee *o) {
    int r;
    nshm__tid();
    if (!nshm__me.head) return -ENOSYS;
    if (o->type == NSHM_MUTEX) return (r = nshm__reserve_room(2)) ? r : nshm__try_mutex(o);
    o->pulse = __atomic_load_n(&o->words->pulse, __ATOMIC_SEQ_CST);
    return nshm__try(o);
}
/* The same or not at all: as nshm_wait with deadline 0, without the context. */
static inline int nshm_try(nshm_waitee *o) {
    int r, patience = 1000;
    while ((r = nshm_try_once(o)) == -EBUSY)
        if ((r = nshm__settle(o, &patience))) return r;
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
        for (k = 0; k < waits[i]->count; k++) {
            __atomic_add_fetch(&waits[i]->object[k].words->waiters, 1, __ATOMIC_SEQ_CST);
            __atomic_add_fetch(&waits[i]->object[k].words->multi, 1, __ATOMIC_SEQ_CST);
        }
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
    for (i = 0; i < count; i++) nshm__leave_each(waits[i], 1);
    return 0;
}

/* ------------------------------------------------------------------------------------------------ changing */
/* Pages of closed handles through which a thread of this process owns a mutex: the kernel must find the word when that thread
 * ends.  A release through another handle unmaps them.  When the list is full, a page stays mapped until the process ends. */
static inline int nshm__kept_pages(nshm_words *w, int add) {
    static nshm_words *kept[64];
    static int any; /* never lowered: releases look only where a handle was ever closed while owned */
    if (add) __atomic_store_n(&any, 1, __ATOMIC_RELEASE);
    for (int k = 0; k < 64 && __atomic_load_n(&any, __ATOMIC_ACQUIRE); k++) {
        nshm_words *expected = add ? NULL : w;
        if (__atomic_compare_exchange_n(&kept[k], &expected, add ? w : NULL, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) return 1;
    }
    return 0;
}
/* As many as can have it; everybody if somebody waits for several objects: it may be killed before it wakes the next. */
static inline void nshm__wake_some(nshm_words *w, int n) {
    nshm__wake(&w->state, __atomic_load_n(&w->multi, __ATOMIC_SEQ_CST) ? INT_MAX : n);
}
static inline void nshm__wake_for(nshm_words *w, int n) {
    if (__atomic_load_n(&w->waiters, __ATOMIC_SEQ_CST)) nshm__wake_some(w, n);
}
/* -EPERM: this thread does not own it. */
static inline int nshm_mutex_release(nshm_words *w, int data_id) {
    nshm__tid();
    uint32_t v = __atomic_load_n(&w->state, __ATOMIC_ACQUIRE);
    int k;
    if (!nshm__mine(w, v) || (k = nshm__held_index(data_id)) < 0) return -EPERM;
    if (w->depth > 1) {
        w->depth--;
        return 0;
    }
    nshm_words *held = nshm__me.held[k].words; /* maybe through another attachment, of a handle closed since */
    nshm__pending(&w->state);
    nshm__unlink(k);
    w->depth = 0;
    __atomic_store_n(&w->owner, 0, __ATOMIC_RELAXED);
    NSHM_STEP("releasing");
    v = __atomic_exchange_n(&w->state, 0, __ATOMIC_SEQ_CST);
    NSHM_STEP("released");
    if ((v & FUTEX_WAITERS) || __atomic_load_n(&w->waiters, __ATOMIC_SEQ_CST)) {
        if (!nshm__unmixed(w)) nshm__pending(NULL); /* our namesake may have it at once */
        nshm__wake_some(w, 1);
    }
    nshm__pending(NULL);
    if (nshm__kept_pages(held, 0)) munmap(held, 4096);
    return 0;
}
static inline int nshm__settled_state(nshm_waitee *o, uint32_t *v) {
    int patience = 1000, r;
    while ((*v = __atomic_load_n(&o->words->state, __ATOMIC_SEQ_CST)) & NSHM_RESERVED)
        if ((r = nshm__settle(o, &patience))) return r;
    return 0;
}
static inline int nshm_event_set(nshm_waitee *o) {
    nshm_words *w = o->words;
    uint32_t v;
    int r;
    nshm__tid();
    if (o->manual) __atomic_fetch_add(&w->pulse, 2, __ATOMIC_SEQ_CST); /* releases who waits now, even if reset at once */
    for (;;) {
        if ((r = nshm__settled_state(o, &v))) break;
        nshm__pending(&w->state);
        if (v || __atomic_compare_exchange_n(&w->state, &v, NSHM_SET, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) break; /* sets do not add up */
    }
    NSHM_STEP("set");
    if (!r) nshm__wake_for(w, o->manual ? INT_MAX : 1); /* also if it was set already: who did may have been killed before this line */
    nshm__pending(NULL);
    return r;
}
static inline int nshm_event_reset(nshm_waitee *o) {
    uint32_t v;
    int r;
    do {
        if ((r = nshm__settled_state(o, &v))) return r;
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
    uint32_t v;
    uint64_t counter;
    int r;
    nshm__tid();
    for (;;) {
        if ((r = nshm__settled_state(o, &v))) break;
        nshm__pending(&w->state);
        counter = __atomic_load_n(&w->counter, __ATOMIC_SEQ_CST);
        *previous = nshm__count(counter);
        if (counter & NSHM_RESERVED) continue;
        if (n > o->maximum || *previous > o->maximum - n) r = -EOVERFLOW;
        if (r || __atomic_compare_exchange_n(&w->counter, &counter, nshm__counter(*previous + n), 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) break;
    }
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
        nshm_waitee o = {w, h->place, h->data_id, NSHM_MUTEX, 0, 0, 0};
        int r;
        if (!nshm__me.head) return -ENOSYS;
        if ((r = nshm__reserve_room(1))) return r;
        nshm__own_it(&o); /* linked first: what this thread has pending is the registry's lock */
        w->state = nshm__me.tid;
    }
    return 0;
}
/* What waits and changes work on.  -EUCLEAN: the page is not of that type. */
static inline int nshm_sync_waitee(const nshm_handle *h, uint32_t type, nshm_waitee *o) {
    o->words = (nshm_words *)h->data;
    o->place = h->place;
    o->data_id = h->data_id;
    o->type = o->words->type;
    o->manual = o->words->manual;
    o->maximum = o->words->maximum;
    o->pulse = 0;
    return o->type == type ? 0 : -EUCLEAN;
}
/* Is the handle's page to stay mapped at close?  Yes while a thread of this process owns the mutex through it. */
static inline int nshm_sync_keep(nshm_words *w) {
    if (w->type != NSHM_MUTEX || !nshm__process || __atomic_load_n(&w->owner, __ATOMIC_ACQUIRE) != nshm__process ||
        w->home != (uint64_t)(uintptr_t)w || !(__atomic_load_n(&w->state, __ATOMIC_SEQ_CST) & FUTEX_TID_MASK))
        return 0;
    nshm__kept_pages(w, 1);
    return 1;
}
#endif
