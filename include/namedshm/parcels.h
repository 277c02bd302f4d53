/* namedshm/parcels.h - handing a handle to another process.
 *
 * Nobody can attach memory for another process, so the sender keeps a handle of its own until the receiver has one, or is gone.
 * A parcel is a record in the user's Local registry, under a name that no user can choose, with a token of its own: the box.  A note
 * behind the longest possible name says which record is the object's, and in which registry.  The receiver opens that record as if it had
 * found the name there, so its handle has the object's identity and waits in its scope.  An unnamed section has no record: its parcel
 * leads to the data.
 *
 * Owns:   the object lives from nshm_send until the receiver has it: the sender detaches only after the parcel's nonce has changed.
 *         One receiver: whoever frees the parcel's record, under the lock, is the one that wakes the sender.
 * Needs:  handles.h.
 */
#ifndef NAMEDSHM_PART_PARCELS_H
#define NAMEDSHM_PART_PARCELS_H
#include "handles.h"

static inline uint32_t *nshm__low_half(uint64_t *word) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return (uint32_t *)word + 1;
#else
    return (uint32_t *)word;
#endif
}
static inline int nshm_send(nshm_scope *s, const nshm_handle *h, uint32_t access, const char *name, size_t n, int readonly, nshm_parked *k) {
    nshm_place *p = NULL;
    int r, slot;
    nshm__blank(&k->object);
    nshm__blank(&k->box);
    if ((r = nshm__enter())) return r;
    if (!(r = nshm__registry(s, 1, &p)) && !(r = nshm__duplicate(h, readonly, &k->object))) p->users++;
    nshm__exit();
    if (r) return r;
    nshm_registry *t = p->registry;
    if (!(r = nshm__lock(t, 1))) {
        nshm__enter();
        if ((slot = nshm__slot(s, t)) < 0) r = slot;
        else if (!(r = nshm__make(p, h->type, 0, 0600, -1, 0, 0, &k->box))) {
            nshm_note note = {h->nonce, h->slot, NSHM__UNNAMED, (uint16_t)!!readonly, access, 0};
            if (h->token) note.where = h->place->global ? NSHM__IN_GLOBAL : NSHM__IN_LOCAL;
            nshm_handle facts = k->box; /* of the object, but with the box as token */
            facts.size = h->size;
            facts.data_id = h->data_id;
            facts.mode = h->mode;
            facts.props = h->props;
            k->box.slot = (uint32_t)slot;
            k->box.created = 0; /* so that its token is not used again (spare.h): the receiver may be looking at it just now */
            /* The slot may have been a dead parcel's: its nonce is cleared before its note is overwritten, and ours is set
             * after. */
            __atomic_store_n(&t->record[slot].nonce, 0, __ATOMIC_SEQ_CST);
            __atomic_thread_fence(__ATOMIC_SEQ_CST);
            nshm__put(t->record[slot].name + NSHM_NOTE, &note, sizeof note);
            nshm__publish(t, (uint32_t)slot, &facts, NSHM_PARCEL | h->type, k->box.nonce, name, n);
        }
        nshm__exit();
        nshm__unlock(t);
    }
    if (r) {
        nshm_close(&k->object, 0);
        k->box.place = p;
        nshm_close(&k->box, 0); /* it has nothing but the place */
    }
    return r;
}
static inline uint64_t *nshm_parcel_word(const nshm_parked *k) { return &k->box.place->registry->record[k->box.slot].nonce; }
static inline int nshm_parcel_claimed(const nshm_parked *k) {
    return __atomic_load_n(nshm_parcel_word(k), __ATOMIC_ACQUIRE) != k->box.nonce;
}
static inline int nshm_unsend(nshm_parked *k, int wait) {
    nshm_registry *t = k->box.place->registry;
    int r;
    if (!nshm_parcel_claimed(k)) {
        if ((r = nshm__lock(t, wait))) return r;
        if (t->record[k->box.slot].nonce == k->box.nonce) nshm__free(t, k->box.slot);
        nshm__unlock(t);
    }
    nshm_close(&k->object, 0);
    nshm_close(&k->box, 0);
    return 0;
}
static inline void nshm_parked_inherited(nshm_parked *k) {
    nshm__drop(&k->object);
    nshm__drop(&k->box);
}
/* With the guard: find the parcel and attach what it leads to.  *p is the registry of the parcel, *slot and *nonce are its
 * record's. */
static inline int nshm__unpack(nshm_scope *s, nshm_scope *global, const char *name, size_t n, nshm_handle *h, nshm_note *note,
                               nshm_place **p, uint32_t *slot, uint64_t *nonce) {
    nshm_record facts;
    nshm_place *from;
    int at, r = nshm__registry(s, 0, p);
    if (r) return r;
    at = nshm__find((*p)->registry, 0, nshm__name_hash(name, n), name, n, &facts);
    if (at < 0 || !(facts.type & NSHM_PARCEL)) return -ENOENT;
    const nshm_record *parcel = &(*p)->registry->record[at];
    nshm__get(note, parcel->name + NSHM_NOTE, sizeof *note);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (__atomic_load_n(&parcel->nonce, __ATOMIC_RELAXED) != facts.nonce) return -ENOENT; /* somebody else is taking it */
    *slot = (uint32_t)at;
    *nonce = facts.nonce;
    from = *p;
    if (note->where == NSHM__IN_GLOBAL && (r = nshm__registry(global, 0, &from))) return r;
    if (note->where != NSHM__UNNAMED) {
        if (note->slot >= NSHM_CAPACITY || !nshm__copy(&from->registry->record[note->slot], &facts) || facts.nonce != note->nonce)
            return -ENOENT; /* the sender has gone, and the object with it */
        at = (int)note->slot;
    }
    if (!nshm__sound(&facts)) return -EUCLEAN;
    return nshm__adopt(from, &facts, (uint32_t)at, note->readonly, NSHM__HERE, h);
}
static inline int nshm_receive(nshm_scope *s, nshm_scope *global, const char *name, size_t n, nshm_handle *h, nshm_note *note) {
    struct timespec nap = {0, 50000};
    struct shmid_ds d;
    nshm_place *p;
    uint32_t slot;
    uint64_t nonce;
    int r, box = -1, tries = 1000;
    nshm__blank(h);
    for (;;) {
        if ((r = nshm__enter())) return r;
        r = nshm__unpack(s, global, name, n, h, note, &p, &slot, &nonce);
        if (!r) p->users++; /* the place stays attached while we wait for its lock */
        nshm__exit();
        if (r != -EAGAIN) break;
        if (!tries--) return nshm__unsure(EAGAIN); /* the object's record is marked: for microseconds, or by a process that died */
        sched_yield();
    }
    if (r) return r;
    if (note->where == NSHM__UNNAMED) h->nonce = note->nonce;
    while ((r = nshm__lock(p->registry, 1)) == -EINTR)
        ;
    if (!r) {
        nshm_record *parcel = &p->registry->record[slot];
        if (parcel->nonce == nonce) {
            box = parcel->token;
            nshm__free(p->registry, slot);
        }
        nshm__unlock(p->registry);
        syscall(SYS_futex, nshm__low_half(&parcel->nonce), FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
    } /* otherwise a stopped creator holds the lock: the sender keeps its handle for as long as we live */
    /* Wait until the sender has detached everything, the box last: so when this returns, the sender's handle does not keep the
     * object any more.  Not for ever, for the sender may be stopped. */
    for (int k = 0; box >= 0 && k < 2000 && !shmctl(box, IPC_STAT, &d) && d.shm_nattch > (h->token_id == box); k++) nanosleep(&nap, NULL);
    if (!nshm__enter()) {
        nshm__done_with(p);
        nshm__exit();
    }
    return 0;
}
#endif
