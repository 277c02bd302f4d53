/* namedshm/naming.h - taking a name away from a living object, and giving it to another.
 *
 * Owns:   openers at any time find one of the two objects, complete.  While a name is replaced, the old record is marked
 *         (NSHM__LEAVING): openers that see the mark come to the lock.  If we are killed, whoever has the lock next finds the old
 *         object under the name if the new record was not published yet, and the new one if it was (nshm__settle in lookup.h).
 * Needs:  fork.h, lookup.h, making.h, registry.h.
 */
#ifndef NAMEDSHM_PART_NAMING_H
#define NAMEDSHM_PART_NAMING_H
#include "fork.h"
#include "lookup.h"
#include "making.h"
#include "registry.h"

/* An opener that found the record before it was freed looks at its nonce again after attaching. */
static inline int nshm_retire(nshm_handle *h) {
    nshm_place *p = h->place;
    int r;
    if (!h->token || !p) return -EINVAL;
    if (h->readonly || !p->writable) return -EACCES;
    if ((r = nshm__enter())) return r;
    p->users++;
    nshm__exit();
    if (!(r = nshm__lock(p->registry, 1))) {
        if (h->slot >= NSHM_CAPACITY || p->registry->record[h->slot].nonce != h->nonce) r = -ENOENT;
        else if ((r = nshm__here(p)) > 0) {
            r = 0;
            NSHM_STEP("retiring");
            nshm__free(p->registry, h->slot);
        } else if (!r) r = nshm__unsure(ENOENT); /* this thread has moved to another IPC namespace */
        nshm__unlock(p->registry);
    }
    if (!nshm__enter()) {
        nshm__done_with(p);
        nshm__exit();
    }
    return r;
}

static inline int nshm_prepare(nshm_scope *s, uint16_t type, uint64_t size, unsigned mode, int64_t group, uint32_t props, nshm_handle *h) {
    nshm_place *p;
    int r;
    nshm__blank(h);
    if (type == NSHM_SECTION ? !size || props & NSHM_OBJ_FILE : size != NSHM_WORDS_SIZE || props) return -EINVAL;
    if ((r = nshm__enter())) return r;
    if (!(r = nshm__registry(s, 1, &p))) p->users++;
    nshm__exit();
    if (r) return r;
    if (!(r = nshm__lock(p->registry, 1))) {
        if (!(r = nshm__enter())) {
            r = nshm__make(p, type, size, mode, group, props, 0, h);
            h->slot = NSHM_CAPACITY; /* it has no record yet */
            nshm__exit();
        }
        nshm__unlock(p->registry);
    }
    if (r && !nshm__enter()) {
        h->place = NULL;
        nshm__done_with(p);
        nshm__exit();
    }
    return r;
}

/* Under the lock and the guard: let the name lead to h from now on. */
static inline int nshm__replace_locked(nshm_handle *h, const char *name, size_t n) {
    nshm_place *p = h->place;
    nshm_registry *t = p->registry;
    nshm_handle old;
    uint64_t stale_nonce;
    int slot, stale, r = nshm__here(p);
    if (r <= 0) return r ? r : nshm__unsure(ENOENT);
    memset(&old, 0, sizeof old);
    if ((r = nshm__lookup(p, h->type, name, n, 0, NSHM__LOCKED, &old, &stale, &stale_nonce)) && r != -ENOENT) return r;
    nshm__take_off(&old); /* a child forked meanwhile must drop it */
    if (r == -ENOENT && stale >= 0) slot = stale;
    else if ((slot = nshm__slot(p->scope, t)) < 0) {
        nshm__land(&old);
        if (!r) nshm__drop(&old), nshm__done_with(p);
        return slot;
    }
    if (!r) {
        __atomic_store_n(&t->record[old.slot].closing, NSHM__LEAVING, __ATOMIC_SEQ_CST);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        NSHM_STEP("leaving");
    }
    nshm__publish(t, (uint32_t)slot, h, h->type, h->nonce, name, n);
    h->slot = (uint32_t)slot;
    if (!r) {
        nshm__free(t, old.slot);
        NSHM_STEP("replaced");
        __atomic_store_n(&t->record[old.slot].closing, 0, __ATOMIC_SEQ_CST);
        nshm__drop(&old);
        nshm__done_with(p);
    }
    nshm__land(&old);
    return 0;
}
static inline int nshm_replace(nshm_handle *h, const char *name, size_t n) {
    nshm_place *p = h->place;
    int r;
    if (!n || n > NSHM_NAME_MAX) return n ? -ENAMETOOLONG : -EINVAL;
    if (!h->token || !p || h->slot < NSHM_CAPACITY) return -EINVAL;
    if (!(r = nshm__lock(p->registry, 1))) {
        if (!(r = nshm__enter())) {
            r = nshm__replace_locked(h, name, n);
            nshm__exit();
        }
        nshm__unlock(p->registry);
    }
    return r;
}
#endif
