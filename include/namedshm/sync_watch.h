/* namedshm/sync_watch.h - one thread sleeps for many waits at once, and takes nothing: for event loops.
 *
 * Owns:   whatever changed between the look and the sleep is told: the kernel compares the words, and we compare them again after.
 * Needs:  sync_object.h.
 */
#ifndef NAMEDSHM_PART_SYNC_WATCH_H
#define NAMEDSHM_PART_SYNC_WATCH_H
#include "sync_object.h"

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
            if (waits[i]->all && nshm__signaled(o)) continue; /* a wait for all sleeps on what is missing */
            missing = 1;
            if ((r = nshm__arm(o, waits[i]->all, &v[n])) < 0) {
                missing = 0;
                break;
            }
            if (r == 2 && spare-- <= 0) r = 1; /* no room for the `pulse` of so many manual events: they are seen after NSHM_NAP */
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
        for (i = 0; i < count; i++) /* a pulse leaves nothing in the state */
            for (k = 0; k < waits[i]->count && !waits[i]->all; k++)
                if (waits[i]->object[k].type == NSHM_EVENT && nshm__pulsed(&waits[i]->object[k])) ready[i] = 1;
    }
    NSHM_STEP("woken");
    for (i = 0; i < count; i++)
        for (k = 0; k < waits[i]->count; k++) nshm__leave(&waits[i]->object[k]);
    return 0;
}
#endif
