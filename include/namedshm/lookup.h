/* namedshm/lookup.h - from a name to a handle.
 *
 * Owns:   a handle is given out only for an object that lives and has that name.  The record says which segments to attach; after
 *         attaching, the kernel is asked whether they are the ones that were meant, and the record is looked at again: it could
 *         have been closed, replaced or taken over in between.
 * Needs:  slots.h.
 */
#ifndef NAMEDSHM_PART_LOOKUP_H
#define NAMEDSHM_PART_LOOKUP_H
#include "slots.h"

/* What the caller knows about the registry.  Most opens need not ask whether it is in this IPC namespace: its segments answer
 * that, too. */
enum {
    NSHM__ANYWHERE, /* it may be in another namespace: then only success means anything */
    NSHM__HERE,     /* it was seen to be in this one */
    NSHM__LOCKED    /* and the caller holds its lock */
};
/* Attach the segments that the facts name.  -ENOENT: the object is dead.  -EAGAIN: its record is changing.  The kernel decides:
 * a token that can be attached is held by somebody. */
static inline int nshm__adopt(nshm_place *p, const nshm_record *f, uint32_t slot, int readonly, int known, nshm_handle *h) {
    const nshm_scope *s = p->scope;
    const nshm_record *now = &p->registry->record[slot];
    size_t size = nshm_data_size(f->size, f->props);
    uint16_t type = f->type & (uint16_t)~NSHM_PARCEL;
    int64_t made;
    int e;
    void *token = nshm__attach_token(type, f->token), *data = NULL;
    NSHM_STEP("adopt-token");
    if (!token) {
        e = errno;
        if (nshm__gone(e)) return -ENOENT;
        if (e != EACCES) return e == ENOMEM ? -ENOMEM : nshm__unsure(e);
        e = nshm__lives(s, f);
        return e > 0 ? -EACCES : e ? e : -ENOENT;
    }
    if ((e = nshm__is(s, f->token, f->token_size, f->maker, 1, &made)) <= 0) {
        nshm__detach_stranger(f->token, token, f->token_size);
        return e ? e : -ENOENT;
    }
    /* We have the token attached, so from here on nshm__recycle does not find itself alone.  If it did so before, it had marked
     * the record before that, and the next loads see it (Dekker: see spare.h). */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    /* `closing` must be read before `nonce`.  If it is 0, we are either before the mark, and then nshm__recycle has counted us;
     * or after the mark was taken off, and then a closed record's nonce is 0 by now. */
    if (__atomic_load_n(&now->closing, __ATOMIC_ACQUIRE) || __atomic_load_n(&now->nonce, __ATOMIC_ACQUIRE) != f->nonce) {
        nshm__detach(token, f->token_size);
        return -EAGAIN;
    }
    if (f->data >= 0) {
        data = nshm__attach_data(type, f->size, f->props, f->data, readonly, token);
        NSHM_STEP("adopt-data");
        if (!data) {
            e = errno; /* gone: its last holder is dying just now */
            nshm__detach(token, f->token_size);
            return nshm__gone(e) ? -ENOENT : e == EACCES || e == ENOMEM ? -e : nshm__unsure(e);
        }
        if ((e = nshm__is(s, f->data, size, f->maker, 1, &made)) <= 0) {
            nshm__detach_stranger(f->data, data, size);
            nshm__detach(token, f->token_size);
            return e ? e : -ENOENT;
        }
        if ((e = nshm__place_data(type, f->size, f->props, &data))) {
            nshm__detach(token, f->token_size);
            return e;
        }
    }
    /* Same ids, same (random) size of the token, same maker, and made in the same second: these are the record's segments, so
     * the registry is in this namespace.  The time is that of the segment asked about last, the data: a token is used again and
     * may be older.  (Who changes a segment's rights changes its time; such an object is found by asking for the registry.) */
    if (known == NSHM__ANYWHERE && (made < f->born - 1 || made > f->born + 1)) {
        nshm__detach(token, f->token_size);
        nshm__detach(data, nshm__span(type, f->size, f->props));
        return -EAGAIN;
    }
    h->scope = p->scope;
    h->place = p;
    p->users++;
    h->token = token;
    h->data = data;
    h->size = f->size;
    h->nonce = f->nonce;
    h->token_id = f->token;
    h->data_id = f->data;
    h->token_size = f->token_size;
    h->slot = slot;
    h->mode = f->mode;
    h->props = f->props;
    h->type = type;
    h->readonly = readonly;
    h->group = -1;
    h->created = 0;
    return 0;
}
/* Look a name up and attach its object.  -ENOENT: there is none; *stale is the slot of a dead one of that name, or -1.  -EAGAIN:
 * a change is under way, look again with the lock (with it, this is never returned). */
static inline int nshm__lookup(nshm_place *p, uint16_t type, const char *name, size_t n, int readonly, int known,
                               nshm_handle *h, int *stale, uint64_t *stale_nonce) {
    nshm_record facts;
    uint32_t hash = nshm__name_hash(name, n), moves;
    int slot, r, patience = 1000;
again:
    moves = __atomic_load_n(&p->registry->moves, __ATOMIC_ACQUIRE);
    slot = *stale = -1;
    r = -ENOENT;
    while ((slot = nshm__find(p->registry, (uint32_t)(slot + 1), hash, name, n, &facts)) >= 0) {
        if (!nshm__sound(&facts)) return -EUCLEAN;
        if (type == NSHM_PARCEL ? !(facts.type & NSHM_PARCEL) : facts.type != type) {
            r = nshm__lives(p->scope, &facts);
            r = r > 0 ? -EBADMSG : r ? r : -ENOENT;
        } else if ((r = nshm__adopt(p, &facts, (uint32_t)slot, readonly, known, h)) == -EAGAIN && known == NSHM__LOCKED) {
            /* we hold the lock, so whoever marked it has died: it is what it was before */
            if (!patience--) return -EUCLEAN; /* somebody changes the record without the lock */
            __atomic_store_n(&p->registry->record[slot].closing, 0, __ATOMIC_SEQ_CST);
            slot--;
            continue;
        }
        if (r != -ENOENT) return r;
        *stale = slot;
        *stale_nonce = facts.nonce;
    }
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (known != NSHM__LOCKED && __atomic_load_n(&p->registry->moves, __ATOMIC_RELAXED) != moves) goto again; /* perhaps this name's */
    return r;
}
#endif
