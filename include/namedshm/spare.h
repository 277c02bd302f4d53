/* namedshm/spare.h - a token is used again.
 *
 * Making a token costs as much as the rest of create and close together, and one token is as good as another, for its page was never
 * touched.  So who closes the last handle of a private Local section keeps the token attached, without an object, for its next
 * create.  One per place.
 *
 * Owns:   being the last is decided between closer and opener as in Dekker's algorithm: the closer marks the record, then asks
 *         the kernel for the number of attachments; an opener attaches, then looks at the mark.  Whichever comes second sees
 *         the other.
 *         What remains: an opener that read the record just before its object was closed can attach the token for an instant when
 *         it serves the next name already.  If that name is closed in that instant, its closer does not find itself the last,
 *         so the name goes when the opener has detached the token: microseconds after close returned.
 * Needs:  slots.h.
 */
#ifndef NAMEDSHM_PART_SPARE_H
#define NAMEDSHM_PART_SPARE_H
#include "slots.h"

/* Is a token of such an object as good as any other? */
static inline int nshm__recyclable(const nshm_scope *s, unsigned mode, uint32_t props, int64_t group) {
    return !s->global && mode == 0600 && !props && group < 0;
}
/* Is ours the only attachment of this segment, and is it still the one we mean? */
static inline int nshm__alone(int id, size_t size) {
    struct shmid_ds d;
    return !shmctl(id, IPC_STAT, &d) && d.shm_nattch == 1 && d.shm_segsz == size && (d.shm_perm.mode & SHM_DEST);
}
static inline int nshm__take_spare(nshm_place *p, nshm_handle *h) { /* under the lock, with the guard */
    nshm_spare spare = p->spare;
    if (!spare.at) return 0;
    p->spare.at = NULL;
    if (!nshm__alone(spare.id, spare.size)) { /* a child forked just now has not detached it yet, and would keep our name */
        nshm__detach(spare.at, spare.size);
        return 0;
    }
    h->token = spare.at;
    h->token_id = spare.id;
    h->token_size = spare.size;
    return 1;
}
/* Close by keeping the token.  0: done, the name is gone; otherwise the caller closes in the ordinary way. */
static inline int nshm__recycle(nshm_handle *h) {
    nshm_place *p = h->place;
    nshm_registry *t = p->registry;
    nshm_record *rec;
    int r = -1;
    if (!h->created || h->type == NSHM_TOPIC || !nshm__recyclable(p->scope, h->mode, h->props, h->group) || h->slot >= NSHM_CAPACITY || p->let_go) return r;
    rec = &t->record[h->slot];
    if (p->spare.at || __atomic_load_n(&rec->nonce, __ATOMIC_RELAXED) != h->nonce || nshm__here(p) != 1 || nshm__lock(t, 0)) return r;
    if (rec->nonce == h->nonce) {
        __atomic_store_n(&rec->closing, NSHM__ASKING, __ATOMIC_SEQ_CST);
        NSHM_STEP("closing");
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        if (nshm__alone(h->token_id, h->token_size)) {
            nshm__free(t, h->slot); /* the name is gone from here on */
            NSHM_STEP("recycled");
            p->spare.at = h->token;
            p->spare.id = h->token_id;
            p->spare.size = h->token_size;
            h->token = NULL;
            r = 0;
        }
        __atomic_store_n(&rec->closing, 0, __ATOMIC_SEQ_CST);
    }
    nshm__unlock(t);
    return r;
}
#endif
