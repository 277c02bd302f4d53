/* namedshm/arrivals.h - waiting until a name appears.
 *
 * Owns:   `awaited` and `arrivals` of a registry.
 * Needs:  registry.h, places.h.
 *
 * Who waits                                       who publishes a name
 *   1. reads `arrivals`                             A. stores the record's nonce: the name can be found
 *   2. sets `awaited`                               B. takes `awaited` (exchange for 0)
 *   3. looks for the name                           C. if it was set: adds 1 to `arrivals`, and wakes all who sleep on it
 *   4. sleeps while `arrivals` is what it read
 * Nobody sleeps past the name he waits for.  If B comes before 2, so does A, and 3 finds the name.  If B comes after 2, C follows, and
 * changes what was read in 1: 4 does not sleep, or is woken.  That holds if B took it from somebody else's 2, too, for what a waiter
 * reads in 1 was read before its own 2.  A publisher that is killed between A and C wakes nobody: therefore sleep is in naps.
 */
#ifndef NAMEDSHM_PART_ARRIVALS_H
#define NAMEDSHM_PART_ARRIVALS_H
#include "registry.h"

#define NSHM_ARRIVAL_NAP 500000000 /* nanoseconds; most that a killed publisher delays anybody */
#define NSHM_ARRIVAL_LOOK 5000000  /* nanoseconds between two looks of who may not write `awaited` */

static inline int nshm_arrivals_begin(nshm_scope *s, nshm_arrivals *a) {
    int r = nshm__enter();
    a->place = NULL;
    if (r) return r;
    if ((r = nshm__registry(s, 1, &a->place)) == -EPERM && !a->place) r = nshm__registry(s, 0, &a->place);
    if (r == -EPERM && a->place) r = 0; /* a Global registry of which this process only reads */
    if (!r) {
        a->place->users++;
        a->seen = __atomic_load_n(&a->place->registry->arrivals, __ATOMIC_SEQ_CST);
        if (a->place->writable) __atomic_store_n(&a->place->registry->awaited, 1, __ATOMIC_SEQ_CST);
    } else a->place = NULL;
    nshm__exit();
    return r == -ENOENT || r == -EPERM ? 0 : r; /* there is no registry, and it is not ours to make one */
}
static inline int nshm_arrivals_sleep(const nshm_arrivals *a, int64_t nanoseconds) {
    int64_t most = a->place && a->place->writable ? NSHM_ARRIVAL_NAP : NSHM_ARRIVAL_LOOK;
    if (nanoseconds < 0 || nanoseconds > most) nanoseconds = most;
    struct timespec t = {(time_t)(nanoseconds / 1000000000), (long)(nanoseconds % 1000000000)};
    int r = a->place && a->place->writable ? (int)syscall(SYS_futex, &a->place->registry->arrivals, FUTEX_WAIT, a->seen, &t, NULL, 0) : nanosleep(&t, NULL);
    return r && errno == EINTR ? -EINTR : 0;
}
static inline void nshm_arrivals_end(nshm_arrivals *a) {
    if (!a->place || nshm__enter()) return;
    nshm__done_with(a->place);
    a->place = NULL;
    nshm__exit();
}
#endif
