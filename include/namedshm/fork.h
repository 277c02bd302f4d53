/* namedshm/fork.h - what a forked child must not keep: handles in flight, and the spare token.
 *
 * A handle is in flight while a thread works on it that will not exist in a child.  A child that is forked meanwhile would keep such
 * a handle for ever, for nobody there knows of it.  So handles in flight are in a list, and a child drops them.
 *
 * Owns:   that list; what fork(2) does with the guard.
 * Needs:  attachments.h, process.h.
 */
#ifndef NAMEDSHM_PART_FORK_H
#define NAMEDSHM_PART_FORK_H
#include "attachments.h"
#include "process.h"

/* Put a handle into the list, and take it out.  The caller holds the guard. */
static inline void nshm__take_off(nshm_handle *h) {
    h->flight = nshm__flying;
    h->link = &nshm__flying;
    if (h->flight) h->flight->link = &h->flight;
    nshm__flying = h;
}
static inline void nshm__land(nshm_handle *h) {
    if (h->link) {
        *h->link = h->flight;
        if (h->flight) h->flight->link = h->link;
    }
    h->flight = NULL;
    h->link = NULL;
}
/* The same for callers, who have no guard. */
static inline void nshm_flight_begin(nshm_handle *h) {
    pthread_mutex_lock(&nshm__guard);
    nshm__take_off(h);
    pthread_mutex_unlock(&nshm__guard);
}
static inline void nshm_flight_end(nshm_handle *h) {
    pthread_mutex_lock(&nshm__guard);
    nshm__land(h);
    pthread_mutex_unlock(&nshm__guard);
}

/* Called by fork(2): see nshm_scope_init.  A thread that holds the guard already is one that forks in a signal handler. */
static inline void nshm__before_fork(void) {
    if (!nshm__inside) pthread_mutex_lock(&nshm__guard);
}
static inline void nshm__after_fork(void) {
    if (!nshm__inside) pthread_mutex_unlock(&nshm__guard);
}
static inline void nshm__in_child(void) {
    for (nshm_handle *h = nshm__flying; h; h = h->flight) nshm__drop(h);
    nshm__flying = NULL;
    for (nshm_place *p = nshm__places; p; p = p->next) { /* the parent will use it for its next object, whose name we would keep */
        nshm__detach(p->spare.at, p->spare.size);
        p->spare.at = NULL;
    }
    nshm__after_fork();
}
#endif
