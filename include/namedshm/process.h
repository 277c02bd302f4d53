/* namedshm/process.h - what all threads of this process share, and the lock over it: the guard.
 *
 * Owns:   the guard and the list of places.  The guard is held wherever an attachment is on its way into or out of a handle, a place
 *         or a spare token, and by fork(2) (fork.h): so a forked child gets whole handles only.  It is never held while waiting,
 *         neither for a registry's lock nor for another process.
 *         Order: a registry's lock, then the guard.  Who holds the guard may only try a registry's lock (nshm__lock without `wait`).
 *         Other ways to fork (_Fork, clone) do not take the guard; for their children none of this holds.
 * Needs:  types.h.
 */
#ifndef NAMEDSHM_PART_PROCESS_H
#define NAMEDSHM_PART_PROCESS_H
#include "types.h"

static pthread_mutex_t nshm__guard = PTHREAD_MUTEX_INITIALIZER;
static nshm_place *nshm__places;    /* all of this process */
static nshm_handle *nshm__flying;   /* the list of handles in flight: see fork.h */
static __thread int nshm__why;      /* what the kernel answered at the last -ESTALE of this thread */
static __thread int nshm__inside;   /* this thread holds the guard; a signal handler that interrupts it would wait for itself for ever */

static inline int nshm_why(void) { return nshm__why; }
static inline int nshm__unsure(int e) { /* "could not tell" */
    nshm__why = e;
    return -ESTALE;
}
static inline int nshm__enter(void) {
    if (nshm__inside) return -EDEADLK;
    pthread_mutex_lock(&nshm__guard);
    nshm__inside = 1;
    return 0;
}
static inline void nshm__exit(void) {
    nshm__inside = 0;
    pthread_mutex_unlock(&nshm__guard);
}

/* All of a handle but its links in the list of handles in flight. */
static inline void nshm__blank(nshm_handle *h) { memset(h, 0, offsetof(nshm_handle, flight)); }
#endif
