/* namedshm/sync_wait.h - waiting for one of several objects, or for all.
 *
 * Phases: a pass over the objects; then, for as long as `spin` says, more of them; then sleep, pass, and leave, until it succeeds.
 *
 * Owns:   who waits for one object keeps its word pending from before the sleep until it has taken the object or woken the next: so
 *         among waits for one object no wake-up is lost, whoever is killed (see "Kills" in namedshm_sync.h).
 * Needs:  sync_all.h.
 */
#ifndef NAMEDSHM_PART_SYNC_WAIT_H
#define NAMEDSHM_PART_SYNC_WAIT_H
#include "sync_all.h"

/* Try each object once: an index (plus NSHM_ABANDONED); -EAGAIN: none is signaled; -EBUSY: somebody's wait for all is deciding. */
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
/* Sleep until one of the objects may have changed.  0, -EAGAIN (look again), -ETIMEDOUT, -EINTR. If it is one object, its word
 * stays pending (nshm__me.keep) until nshm__leave_all.  Not if it is a mutex that a thread with our number in another PID
 * namespace may own: if we die, the kernel would take us for its owner. */
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
        if (c->all && nshm__signaled(o)) continue; /* a wait for all sleeps on what is missing */
        if ((r = nshm__arm(o, c->all, &v[n])) < 0) break;
        n += r;
    }
    if (r >= 0 && only && (only->type != NSHM_MUTEX || nshm__unmixed(only->words))) nshm__me.keep = &only->words->state;
    if (r >= 0 && n) {
        uint32_t *word = (uint32_t *)(uintptr_t)v[0].uaddr;
        nshm__pending(NULL);
        r = n == 1 ? -ENOSYS : nshm__result(syscall(SYS_futex_waitv, v, n, 0, &until, CLOCK_MONOTONIC));
        /* One word; or no futex_waitv (before Linux 5.16, or in a sandbox): then the other words are looked at every millisecond. */
        if (r == -ENOSYS || r == -EPERM) {
            int64_t soon = c->count > 1 && now + 1000000 < end ? now + 1000000 : end;
            struct timespec nap = {soon / 1000000000, soon % 1000000000};
            r = nshm__result(syscall(SYS_futex, word, FUTEX_WAIT_BITSET, (uint32_t)v[0].val, &nap, NULL, FUTEX_BITSET_MATCH_ANY));
        }
        if (r == -ETIMEDOUT && (c->deadline == INT64_MAX || nshm_now() < c->deadline)) r = 0; /* it was NSHM_NAP that ended */
    }
    NSHM_STEP("woken");
    return r;
}
static inline void nshm__leave_all(nshm_wait_context *c) {
    for (int k = 0; k < c->count; k++) nshm__leave(&c->object[k]);
    nshm__me.keep = NULL;
    nshm__pending(NULL);
}

/* Instead of a sleep, after -EBUSY.  For one object we wait until it is settled, for several we look again in a millisecond. */
static inline int nshm__hold_on(nshm_wait_context *c) {
    int64_t soon = nshm_now() + NSHM_NAP;
    if (c->count > 1) return nshm__nap(c->deadline);
    int r = nshm_settle(&c->object[0], c->deadline < soon ? c->deadline : soon);
    return r == -ETIMEDOUT && nshm_now() < c->deadline ? 0 : r;
}
static inline int nshm_wait(nshm_wait_context *c) {
    int r, mutexes = 0;
    if (c->count < 1 || c->count > NSHM_WAIT_MAX) return -EINVAL;
    if (c->count == 1) c->all = 0; /* means the same, and is quicker */
    if (c->all) /* the same object twice cannot be taken at once */
        for (int k = 1; k < c->count; k++)
            for (int i = 0; i < k; i++)
                if (c->object[i].identity == c->object[k].identity) return -EINVAL;
    nshm__tid();
    if (!nshm__me.head) return -ENOSYS;
    if (!c->begun) { /* not again after -EINTR, for a pulse in between was for us, too */
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
        do { /* look less and less often: each look takes the cache line away from the owner, who needs it to release */
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

static inline int nshm_try_once(nshm_waitee *o) {
    int r;
    nshm__tid();
    if (!nshm__me.head) return -ENOSYS;
    if (o->type == NSHM_MUTEX) return (r = nshm__reserve_room(1)) ? r : nshm__try_mutex(o);
    o->pulse = __atomic_load_n(&o->words->pulse, __ATOMIC_SEQ_CST);
    return nshm__try(o);
}
static inline int nshm_try(nshm_waitee *o) {
    int64_t until = 0;
    int r;
    while ((r = nshm_try_once(o)) == -EBUSY) {
        if (!until) until = nshm_now() + NSHM_BRIEF;
        if ((r = nshm_settle(o, until))) return r == -ETIMEDOUT ? -EAGAIN : r;
    }
    return r;
}
#endif
