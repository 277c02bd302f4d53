/* namedshm/sync_futex.h - sleeping and waking.
 *
 * Owns:   futexes here are shared between processes.  Times are CLOCK_MONOTONIC in nanoseconds.
 * Needs:  sync_words.h.
 */
#ifndef NAMEDSHM_PART_SYNC_FUTEX_H
#define NAMEDSHM_PART_SYNC_FUTEX_H
#include "sync_words.h"

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

static inline void nshm__wake(uint32_t *word, int n) { syscall(SYS_futex, word, FUTEX_WAKE, n, NULL, NULL, 0); }

struct nshm__waitv { /* struct futex_waitv, which older versions of linux/futex.h lack */
    uint64_t val, uaddr;
    uint32_t flags, reserved;
};
static inline int nshm__result(long r) { return r < 0 ? -errno : 0; }

static inline int64_t nshm_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* "Sleep while the word has that value", as futex_waitv(2) wants it. */
static inline struct nshm__waitv nshm__while(const uint32_t *word, uint32_t value) {
    struct nshm__waitv v;
    v.val = value;
    v.uaddr = (uint64_t)(uintptr_t)word;
    v.flags = 2; /* FUTEX_32, shared between processes */
    v.reserved = 0;
    return v;
}

/* After a change: wake as many as can have it, whatever they wait for.  Who does not take it wakes the next (nshm__leave). */
static inline void nshm__wake_for(nshm_words *w, int n) {
    if (__atomic_load_n(&w->waiters, __ATOMIC_SEQ_CST)) nshm__wake(&w->state, n);
}
#endif
