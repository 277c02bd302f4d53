/* namedshm/naming.h - taking a name away from a living object, and giving it to another.
 *
 * Owns:   openers at any time find one of the two objects, complete, and none finds the old one after the new one was found.  A
 *         name goes over when the new record is published, also if its maker is killed then (freeing.h).
 * Needs:  lookup.h, making.h, registry.h.
 */
#ifndef NAMEDSHM_PART_NAMING_H
#define NAMEDSHM_PART_NAMING_H
#include "lookup.h"
#include "making.h"
#include "registry.h"

/* Who may write the object and the registry may take its name away.  Nobody has a handle for writing to what was created read-only:
 * there it is the maker's user. */
static inline int nshm__may_take(const nshm_handle *h) {
    struct shmid_ds d;
    if (!h->place->writable) return 0;
    if (!(h->props & NSHM_OBJ_READONLY)) return !h->readonly;
    return !h->place->global || (!shmctl(h->token_id, IPC_STAT, &d) && d.shm_perm.cuid == (uint32_t)geteuid());
}
/* An opener that had found the record before looks at its nonce after attaching: if it is still there, it has opened the object before
 * this; else it looks again. */
static inline int nshm_retire(nshm_handle *h) {
    nshm_place *p = h->place;
    int r;
    if (!h->token || !p) return -EINVAL;
    if (!nshm__may_take(h)) return -EACCES;
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

static inline int nshm_named(const nshm_handle *h) {
    return h->token && h->place && h->slot < NSHM_CAPACITY &&
           __atomic_load_n(&h->place->registry->record[h->slot].nonce, __ATOMIC_ACQUIRE) == h->nonce;
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

/* Under the lock and the guard: let the name lead to h from now on.
 *   1. The registry tells which slot is to follow which, and the old record is marked: from here on openers come to the lock.
 *   2. The new record is published: the name is h's, whether we live or not.
 *   3. `moves` is raised: an opener may have passed the new record's slot before 2 and would find the old one's free.
 *   4. The old record is freed.
 * If we are killed, the next owner of the lock does 3 and 4 if 2 was done, or takes the mark away. */
static inline int nshm__replace_locked(nshm_handle *h, const char *name, size_t n) {
    nshm_place *p = h->place;
    nshm_registry *t = p->registry;
    nshm_handle old;
    uint64_t stale_nonce;
    int slot, stale, found, r = nshm__here(p);
    if (r <= 0) return r ? r : nshm__unsure(ENOENT);
    memset(&old, 0, sizeof old);
    found = nshm__lookup(p, h->type, name, n, 0, NSHM__LOCKED, &old, &stale, &stale_nonce);
    if (found && found != -ENOENT) return found;
    slot = !found && !nshm__may_take(&old) ? -EACCES : found && stale >= 0 ? stale : nshm__slot(p->scope, t);
    if (slot >= 0) {
        if (!found) {
            t->heir = (uint32_t)slot;
            __atomic_store_n(&t->leaving, old.slot + 1, __ATOMIC_RELEASE);
            NSHM_STEP("announced");
            __atomic_store_n(&t->record[old.slot].closing, NSHM__LEAVING, __ATOMIC_SEQ_CST);
            __atomic_thread_fence(__ATOMIC_SEQ_CST);
            NSHM_STEP("leaving");
        }
        nshm__publish(t, (uint32_t)slot, h, h->type, h->nonce, name, n);
        h->slot = (uint32_t)slot;
        if (!found) nshm__settle(t);
    }
    if (!found) {
        nshm__drop(&old);
        nshm__done_with(p);
    }
    return slot < 0 ? slot : 0;
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
