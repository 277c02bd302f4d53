/* namedshm/sync_make.h - making an object's page, using it through a handle, and closing that handle.
 *
 * Owns:   a page is filled before its name exists.  It stays mapped while a thread of this process owns the mutex through it.
 * Needs:  sync_mutex.h.
 */
#ifndef NAMEDSHM_PART_SYNC_MAKE_H
#define NAMEDSHM_PART_SYNC_MAKE_H
#include "sync_mutex.h"

static inline int nshm_sync_fill(nshm_handle *h, void *context) {
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
        nshm__own_it(&o); /* into the list first: this thread's one pending word is the registry's lock */
        w->state = nshm__me.tid;
    }
    return 0;
}
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
/* If the thread ends without releasing, nobody unmaps the page before the process ends. */
static inline int nshm_sync_keep(const nshm_waitee *o) {
    if (o->type != NSHM_MUTEX) return 0;
    nshm__private *p = nshm__behind(o->words);
    uint32_t holder = __atomic_load_n(&p->holder, __ATOMIC_ACQUIRE);
    while (nshm__in_use(p, holder))
        if (__atomic_compare_exchange_n(&p->holder, &holder, holder | NSHM__KEPT, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) return 1;
    return 0;
}
#endif
