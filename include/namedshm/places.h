/* namedshm/places.h - registries as this process has them attached.
 *
 * Owns:   the list of places and the count of who uses each.  A place is detached when nobody uses it and its scope was released.
 *         All of it with the guard held.
 * Needs:  process.h, segments.h.
 */
#ifndef NAMEDSHM_PART_PLACES_H
#define NAMEDSHM_PART_PLACES_H
#include "process.h"
#include "segments.h"

/* Is the place's registry in this thread's IPC namespace?  1 yes, 0 no, negative: could not tell.  Ids mean something within one
 * namespace only: in another one that id has no segment, or a segment of other size or time. */
static inline int nshm__here(const nshm_place *p) {
    struct shmid_ds d;
    if (!shmctl(p->id, IPC_STAT, &d)) return d.shm_segsz == p->size && d.shm_ctime == p->ctime && (d.shm_perm.mode & SHM_DEST);
    return nshm__gone(errno) || errno == EACCES ? 0 : nshm__unsure(errno);
}

/* A wait for all of several objects can hold the locks of two registries.  One of them is then in the thread's robust list
 * (nshm__try_all in sync_all.h), and its node lies in the page behind the lock word.  So that page must be this process's own. */
static inline int nshm__lay_gap(nshm_registry *t) {
    void *at = mmap(t->gap, sizeof t->gap, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    return at == MAP_FAILED ? -errno : 0;
}

/* The place of a registry just attached: one that this process has already (then `t` is detached), or a new one. */
static inline int nshm__settle_place(nshm_scope *s, nshm_registry *t, int id, const struct shmid_ds *d, int writable, nshm_place **place) {
    for (nshm_place *p = nshm__places; p; p = p->next)
        if (p->scope == s && p->id == id && p->size == d->shm_segsz && p->registry->identity == t->identity) {
            /* nshm__here did not recognize it, so its ctime has changed: an administrator set its rights (IPC_SET) */
            p->ctime = (int64_t)d->shm_ctime;
            nshm__detach(t, p->size);
            *place = p;
            return 0;
        }
    nshm_place *p = (nshm_place *)calloc(1, sizeof *p);
    int r = !p ? -ENOMEM : writable ? nshm__lay_gap(t) : 0;
    if (r) {
        free(p);
        nshm__detach(t, d->shm_segsz);
        return r;
    }
    p->registry = t;
    p->scope = s;
    p->global = s->global;
    p->id = id;
    p->size = d->shm_segsz;
    p->ctime = (int64_t)d->shm_ctime;
    p->writable = writable;
    p->next = nshm__places;
    nshm__places = p;
    *place = p;
    return 0;
}

static inline void nshm__forget(nshm_place *p) { /* nobody uses it */
    nshm_place **link = &nshm__places;
    while (*link != p) link = &(*link)->next;
    *link = p->next;
    nshm__detach(p->spare.at, p->spare.size);
    nshm__detach(p->registry, p->size);
    free(p);
}
static inline void nshm__done_with(nshm_place *p) { /* a handle or an operation is done with it */
    if (p && !--p->users && p->let_go) nshm__forget(p);
}
#endif
