/* namedshm/handles.h - creating, opening, duplicating and closing.
 *
 * Owns:   the order of phases.  Create: look without the lock, and if the name is free look again with it, for somebody may have been
 *         faster; then make.  Open: look without the lock, and again with it only if a change was under way.  Close: detach,
 *         the name first; if it was the last handle, free the record.
 *         A place is counted as used (`users`) while we wait for its lock, for then we do not hold the guard.
 * Needs:  lookup.h, making.h, registry.h.
 */
#ifndef NAMEDSHM_PART_HANDLES_H
#define NAMEDSHM_PART_HANDLES_H
#include "lookup.h"
#include "making.h"
#include "registry.h"

/* The part of create that is under the registry's lock and the guard. */
static inline int nshm__create_locked(nshm_place *p, uint16_t type, const char *name, size_t n, uint64_t size, unsigned mode, int64_t group,
                                      uint32_t props, int flags, size_t token_room, nshm_filler fill, void *context, nshm_handle *h) {
    int stale, slot, r;
    uint64_t stale_nonce = 0;
    r = nshm__lookup(p, type, name, n, flags & NSHM_READONLY, NSHM__LOCKED, h, &stale, &stale_nonce);
    if (r == -EACCES && (flags & NSHM_EXCLUSIVE)) return -EEXIST;
    if (!r && (flags & NSHM_EXCLUSIVE)) {
        nshm__drop(h);
        nshm__done_with(p);
        return -EEXIST;
    }
    if (r != -ENOENT) return r;
    slot = stale >= 0 ? stale : nshm__slot(p->scope, p->registry); /* the slot of a dead object of that name is taken over */
    if (slot < 0) return slot;
    if ((r = nshm__make(p, type, size, mode, group, props, token_room, h))) return r;
    if (fill && (r = fill(h, context))) {
        nshm__drop(h);
        return r;
    }
    nshm__publish(p->registry, (uint32_t)slot, h, type, h->nonce, name, n);
    h->slot = (uint32_t)slot;
    p->users++;
    return 0;
}

static inline int nshm_create(nshm_scope *s, uint16_t type, const char *name, size_t n, uint64_t size, unsigned mode, int64_t group,
                              uint32_t props, int flags, size_t token_room, nshm_filler fill, void *context, nshm_handle *h) {
    nshm_place *p;
    int r, stale;
    uint64_t stale_nonce = 0;
    nshm__blank(h);
    if (!n || n > NSHM_NAME_MAX) return n ? -ENAMETOOLONG : -EINVAL;
    if (type == NSHM_SECTION || type == NSHM_QUEUE || type == NSHM_TOPIC ? !size : size != NSHM_WORDS_SIZE || props) return -EINVAL;
    if ((r = nshm__enter())) return r;
    r = nshm__registry(s, 1, &p);
    /* Also without the right to create (-EPERM): the object may exist. */
    if (!(flags & NSHM_EXCLUSIVE) && (!r || (r == -EPERM && (p || !nshm__registry(s, 0, &p))))) {
        int found = nshm__lookup(p, type, name, n, flags & NSHM_READONLY, NSHM__HERE, h, &stale, &stale_nonce);
        if (found != -ENOENT && found != -EAGAIN) {
            nshm__exit();
            return found;
        }
    }
    if (r) {
        nshm__exit();
        return r;
    }
    p->users++; /* the place stays attached while we wait for its lock */
    nshm__exit();
    if (!(r = nshm__lock(p->registry, 1))) {
        if (!(r = nshm__enter())) {
            r = nshm__create_locked(p, type, name, n, size, mode, group, props, flags, token_room, fill, context, h);
            nshm__exit();
        }
        nshm__unlock(p->registry);
    }
    if (!nshm__enter()) {
        if (r) h->place = NULL;
        nshm__done_with(p);
        nshm__exit();
    }
    return r;
}

static inline int nshm_open(nshm_scope *s, uint16_t type, const char *name, size_t n, int flags, nshm_handle *h) {
    nshm_place *p;
    int r, stale;
    uint64_t stale_nonce;
    nshm__blank(h);
    if (!n || n > NSHM_NAME_MAX) return n ? -ENAMETOOLONG : -EINVAL;
    if ((r = nshm__enter())) return r;
    /* First where the last open was, without asking whether that is in this IPC namespace: if the object is found there, it is
     * the one. */
    for (p = nshm__places; p && p->scope != s;) p = p->next;
    if (p && !p->let_go && (s->global || nshm__numbered(s)) &&
        !nshm__lookup(p, type, name, n, flags & NSHM_READONLY, NSHM__ANYWHERE, h, &stale, &stale_nonce))
        goto out;
    if ((r = nshm__registry(s, 0, &p))) goto out;
    r = nshm__lookup(p, type, name, n, flags & NSHM_READONLY, NSHM__HERE, h, &stale, &stale_nonce);
    p->users++;
    for (int tries = 1000; r == -EAGAIN && !p->writable && tries--;) { /* who may not lock waits: the change takes microseconds */
        nshm__exit();
        sched_yield();
        nshm__enter();
        r = nshm__lookup(p, type, name, n, flags & NSHM_READONLY, NSHM__HERE, h, &stale, &stale_nonce);
    }
    if (r == -EAGAIN && p->writable) {
        nshm__exit();
        int locked = nshm__lock(p->registry, 1);
        nshm__enter();
        r = locked ? locked : nshm__lookup(p, type, name, n, flags & NSHM_READONLY, NSHM__LOCKED, h, &stale, &stale_nonce);
        if (!locked) nshm__unlock(p->registry);
        if (locked) stale = -1;
    }
    /* a process was killed during the change, and nobody who may write the registry has been here since */
    if (r == -EAGAIN) r = nshm__unsure(EAGAIN);
    if (r == -ENOENT && stale >= 0) nshm__tidy(p, (uint32_t)stale, stale_nonce);
    nshm__done_with(p);
out:
    nshm__exit();
    return r;
}

static inline int nshm_create_unnamed(nshm_scope *s, uint64_t size, unsigned mode, uint32_t props, nshm_handle *h) {
    nshm__blank(h);
    int r = nshm__nonce(s, &h->nonce);
    if (r) return r;
    h->scope = s;
    h->size = size;
    h->mode = mode;
    h->props = props & (uint32_t)NSHM_OBJ_ALL;
    h->type = NSHM_SECTION;
    h->token_id = h->data_id = -1;
    h->created = 1;
    if ((props & NSHM_OBJ_FILE) || !size) return 0;
    if (size > NSHM_SIZE_MAX) return -EINVAL;
    if ((r = nshm__enter())) return r;
    /* Without a registry there is no key to find it by: a kill within the next two calls leaves an id without a page (unless the
     * system has kernel.shm_rmid_forced). */
    h->data_id = shmget(IPC_PRIVATE, nshm_data_size(size, props), IPC_CREAT | nshm__reserving(props) | 0600 | NSHM_MARK);
    if (h->data_id < 0) r = -errno;
    else if (!(h->data = nshm__attach(h->data_id, 0))) {
        r = -errno;
        shmctl(h->data_id, IPC_RMID, NULL);
    } else if ((r = nshm__finish_segment(h->data_id, (int)(0600 | (mode & 066)), -1))) { /* it would outlive everybody */
        shmctl(h->data_id, IPC_RMID, NULL);
        nshm__drop(h);
    } else nshm__advise(h->data, size, props);
    nshm__exit();
    return r;
}

/* With the guard. */
static inline int nshm__duplicate(const nshm_handle *h, int readonly, nshm_handle *to) {
    int r;
    memcpy(to, h, offsetof(nshm_handle, flight));
    to->token = to->data = NULL;
    to->created = 0;
    to->readonly = h->readonly || readonly;
    if (h->token && !(to->token = nshm__attach_token(h->type, h->token_id))) return -errno;
    if (h->data_id >= 0) {
        if (!(to->data = nshm__attach_data(h->type, h->size, h->props, h->data_id, to->readonly, to->token))) r = -errno;
        else r = nshm__place_data(h->type, h->size, h->props, &to->data);
        if (r) {
            nshm__detach(to->token, to->token_size);
            to->token = NULL;
            return r;
        }
    }
    if (to->place) to->place->users++;
    return 0;
}
static inline int nshm_duplicate(const nshm_handle *h, int readonly, nshm_handle *to) {
    int r = nshm__enter();
    if (r) return r;
    r = nshm__duplicate(h, readonly, to);
    nshm__exit();
    return r;
}

static inline void *nshm_attach_data(const nshm_handle *h, int readonly, int executable) {
    void *p = shmat(h->data_id, NULL, (readonly ? SHM_RDONLY : 0) | (executable ? SHM_EXEC : 0));
    if (p == (void *)-1) return NULL;
    nshm__advise(p, h->size, h->props);
    return p;
}

/* After a handle is gone: if it was the last, free the record. */
static inline void nshm__tidy_after(const nshm_handle *h) {
    struct shmid_ds d;
    if (shmctl(h->token_id, IPC_STAT, &d) && nshm__gone(errno)) nshm__tidy(h->place, h->slot, h->nonce);
}

static inline void nshm_close(nshm_handle *h, int keep_data) {
    int named = h->token != NULL;
    if (nshm__enter()) return;
    if (keep_data) h->data = NULL;
    if (named && !nshm__recycle(h)) named = 0;
    nshm__drop(h);
    NSHM_STEP("closed");
    if (named) nshm__tidy_after(h);
    nshm__done_with(h->place);
    h->place = NULL;
    nshm__exit();
}

static inline void nshm_close_name(nshm_handle *h) {
    void *data = h->data;
    if (!h->token || nshm__enter()) return;
    h->data = NULL;
    nshm__drop(h);
    h->data = data;
    nshm__tidy_after(h);
    nshm__exit();
}
#endif
