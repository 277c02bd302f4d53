/* namedshm/sync_watch.h - one thread sleeps for many waits at once, and takes nothing: for event loops.
 *
 * Owns:   whatever changed between the look and the sleep is told: the kernel compares the words, and we compare them again after.
 * Needs:  sync_object.h.
 */
#ifndef NAMEDSHM_PART_SYNC_WATCH_H
#define NAMEDSHM_PART_SYNC_WATCH_H
#include "sync_object.h"

typedef struct {
    struct nshm__waitv v[NSHM_WATCH_MAX + 2]; /* 0: the control word */
    unsigned char of[NSHM_WATCH_MAX + 2];     /* whose it is: a wait, or behind the waits one of `more` */
    int n;
} nshm__watch_list;

/* 1: one of the waits need not sleep. */
static inline int nshm__watch_waits(nshm__watch_list *l, nshm_wait_context **waits, int count, int spare, unsigned char *ready) {
    int any = 0, r;
    for (int i = 0; i < count; i++) {
        int missing = 0;
        for (int k = 0; k < waits[i]->count; k++) {
            nshm_waitee *o = &waits[i]->object[k];
            if (waits[i]->all && nshm__signaled(o)) continue; /* a wait for all sleeps on what is missing */
            missing = 1;
            if ((r = nshm__arm(o, waits[i]->all, &l->v[l->n])) < 0) {
                missing = 0;
                break;
            }
            if (r == 2 && spare-- <= 0) r = 1; /* no room for the `pulse` of so many manual events: they are seen after NSHM_NAP */
            while (r--) l->of[l->n++] = (unsigned char)i;
        }
        if (!missing) any = ready[i] = 1;
    }
    return any;
}
static inline void nshm__watch_sleep(nshm__watch_list *l, nshm_wait_context **waits, int count, uint32_t *control, uint32_t seen,
                                     unsigned char *ready, nshm_watched *more, int extra) {
    int64_t end = nshm_now() + NSHM_NAP, now;
    int r;
    for (int k = 0; k < extra; k++)
        if (more[k].until < end) end = more[k].until;
    struct timespec until = {end / 1000000000, end % 1000000000}, nap = {0, 1000000};
    r = (int)syscall(SYS_futex_waitv, l->v, l->n, 0, &until, CLOCK_MONOTONIC);
    if (r < 0 && errno == ETIMEDOUT) memset(ready, 1, (size_t)count);
    if (r < 0 && (errno == ENOSYS || errno == EPERM)) /* before Linux 5.16, or in a sandbox: look every millisecond */
        r = (int)syscall(SYS_futex, control, FUTEX_WAIT, seen, &nap, NULL, 0);
    now = nshm_now();
    for (int k = 1; k < l->n; k++) { /* others may have changed as well, or instead (EAGAIN) */
        int changed = k == r || __atomic_load_n((uint32_t *)(uintptr_t)l->v[k].uaddr, __ATOMIC_SEQ_CST) != (uint32_t)l->v[k].val;
        if (l->of[k] < count) ready[l->of[k]] |= (unsigned char)changed;
        else more[l->of[k] - count].ready |= changed || more[l->of[k] - count].until <= now;
    }
    for (int i = 0; i < count; i++) /* a pulse leaves nothing in the state */
        for (int k = 0; k < waits[i]->count && !waits[i]->all; k++)
            if (waits[i]->object[k].type == NSHM_EVENT && nshm__pulsed(&waits[i]->object[k])) ready[i] = 1;
}
/* The same with `extra` words that their owners have armed. */
static inline int nshm_watch_with(nshm_wait_context **waits, int count, uint32_t *control, uint32_t seen, unsigned char *ready,
                                  nshm_watched *more, int extra) {
    nshm__watch_list l;
    int i, k, any = 0, spare = NSHM_WATCH_MAX - extra;
    if (count < 0 || extra < 0 || count > NSHM_WATCH_MAX || extra > NSHM_WATCH_MAX) return -EINVAL;
    for (i = 0; i < count; i++) spare -= waits[i]->count;
    if (spare < 0) return -EINVAL;
    nshm__tid();
    memset(ready, 0, (size_t)count);
    l.v[0] = nshm__while(control, seen);
    l.n = 1;
    for (k = 0; k < extra; k++) {
        any |= more[k].ready;
        l.v[l.n] = nshm__while(more[k].word, more[k].value);
        l.of[l.n++] = (unsigned char)(count + k);
    }
    for (i = 0; i < count; i++)
        for (k = 0; k < waits[i]->count; k++) __atomic_add_fetch(&waits[i]->object[k].words->waiters, 1, __ATOMIC_SEQ_CST);
    NSHM_STEP("armed");
    any |= nshm__watch_waits(&l, waits, count, spare, ready);
    if (!any) nshm__watch_sleep(&l, waits, count, control, seen, ready, more, extra);
    NSHM_STEP("woken");
    for (i = 0; i < count; i++)
        for (k = 0; k < waits[i]->count; k++) nshm__leave(&waits[i]->object[k]);
    return 0;
}
static inline int nshm_watch(nshm_wait_context **waits, int count, uint32_t *control, uint32_t seen, unsigned char *ready) {
    return nshm_watch_with(waits, count, control, seen, ready, NULL, 0);
}
#endif
