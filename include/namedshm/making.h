/* namedshm/making.h - a new object: its identity, its segments, and its record.
 *
 * Owns:   an object is found only when it is complete: its segments are made first, then its record is filled, and the record's
 *         nonce is stored last.
 * Needs:  spare.h.
 */
#ifndef NAMEDSHM_PART_MAKING_H
#define NAMEDSHM_PART_MAKING_H
#include "spare.h"

/* An identity: unique, not secret.  Two calls differ in time, thread or count; two processes differ in the seed. */
static inline int nshm__nonce(nshm_scope *s, uint64_t *nonce) {
    struct timespec now;
    uint64_t x, seed = __atomic_load_n(&s->seed, __ATOMIC_RELAXED), fresh = 0;
    while (!seed) { /* several threads may come here at once: the first to store its seed wins */
        if (getrandom(&fresh, sizeof fresh, 0) < 0 && errno != EINTR) return -errno;
        if (fresh && __atomic_compare_exchange_n(&s->seed, &seed, fresh, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) seed = fresh;
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    x = seed + (uint64_t)now.tv_nsec + ((uint64_t)now.tv_sec << 30) + ((uint64_t)syscall(SYS_gettid) << 42) +
        __atomic_fetch_add(&s->count, 0x9e3779b97f4a7c15ULL, __ATOMIC_RELAXED);
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL; /* the mixer of splitmix64, a bijection: different inputs stay different */
    x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
    x ^= x >> 31;
    *nonce = x ? x : 1;
    return 0;
}

/* Make the segments of a new object.  Under the registry's lock: see nshm__segment. */
static inline int nshm__make(nshm_place *p, uint16_t type, uint64_t size, unsigned mode, int64_t group, uint32_t props,
                             size_t token_room, nshm_handle *h) {
    nshm_scope *s = p->scope;
    int r = nshm__nonce(s, &h->nonce);
    unsigned readers = (mode >> 2 | mode >> 1) & 011; /* whoever may read or write the data may hold the name */
    unsigned holders = readers << 2 | (type == NSHM_TOPIC ? readers << 1 : 0); /* a topic's has a word that its readers write */
    /* What is read-only for all, others cannot even attach for writing. */
    unsigned bits = mode & (props & NSHM_OBJ_READONLY ? 044 : 066);
    if (r) return r;
    if (props & NSHM_OBJ_EXECUTABLE) bits |= (mode & 044) >> 2;
    h->token_size = token_room + 1 + h->nonce % NSHM_TOKEN_SPAN;
    h->size = size;
    h->mode = mode;
    h->props = props & (uint32_t)NSHM_OBJ_ALL;
    h->type = type;
    h->group = group;
    h->scope = s;
    h->place = p;
    h->readonly = 0;
    h->created = 1;
    h->data = NULL;
    h->data_id = -1;
    if (token_room > NSHM_TOKEN_ROOM || size > NSHM_SIZE_MAX) return -EINVAL;
    if (!(nshm__recyclable(s, mode, props, group) && !token_room && nshm__take_spare(p, h))) {
        r = nshm__segment(p, h->token_size, (int)(0600 | holders), SHM_NORESERVE | (props & NSHM_OBJ_FILE ? NSHM_FILE_MARK : 0),
                          group, NULL, &h->token_id, &h->token);
        if (r) return r;
    }
    if (!(props & NSHM_OBJ_FILE) && size) {
        const void *neighbour = nshm__neighbour(type, props, h->token);
        r = nshm__segment(p, nshm_data_size(size, props), (int)(0600 | bits), nshm__reserving(props), group, neighbour, &h->data_id, &h->data);
        if (!r) r = nshm__place_data(type, size, props, &h->data);
        if (r) {
            nshm__detach(h->token, h->token_size);
            h->token = NULL;
        }
    }
    return r;
}

/* Under the lock: write the record of a free (or dead) slot, then let it be found. */
static inline void nshm__publish(nshm_registry *t, uint32_t slot, const nshm_handle *h, uint16_t type, uint64_t nonce,
                                 const char *name, size_t n) {
    nshm_record *rec = &t->record[slot], fresh;
    fresh.size = h->size;
    fresh.token = h->token_id;
    fresh.data = h->data_id;
    fresh.token_size = (uint32_t)h->token_size;
    fresh.maker = h->scope->global ? h->scope->uid : 0;
    fresh.mode = h->mode;
    fresh.props = h->props;
    fresh.type = type;
    fresh.length = (uint16_t)n;
    fresh.hash = nshm__name_hash(name, n);
    fresh.born = time(NULL);
    fresh.pid = getpid();
    fresh.closing = 0;
    __atomic_store_n(&t->hash[slot], 0, __ATOMIC_RELEASE);
    __atomic_store_n(&rec->nonce, 0, __ATOMIC_SEQ_CST); /* from here on copies are refused ... */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    NSHM_STEP("filling");
    nshm__put((char *)rec + sizeof rec->nonce, (char *)&fresh + sizeof fresh.nonce, offsetof(nshm_record, name) - sizeof fresh.nonce);
    nshm__put(rec->name, name, n);
    if (slot >= nshm__used(t)) __atomic_store_n(&t->used, slot + 1, __ATOMIC_RELEASE);
    NSHM_STEP("filled");
    /* The nonce last.  An opener may have read an old hash of this slot that is the same as ours: without a nonce it finds
     * nothing, so nobody finds the object before everybody does. */
    __atomic_store_n(&t->hash[slot], fresh.hash, __ATOMIC_RELEASE);
    NSHM_STEP("publishing");
    __atomic_store_n(&rec->nonce, nonce, __ATOMIC_RELEASE); /* ... until here: the name exists from here on */
    NSHM_STEP("published");
    if (__atomic_exchange_n(&t->awaited, 0, __ATOMIC_SEQ_CST)) { /* see arrivals.h */
        __atomic_fetch_add(&t->arrivals, 1, __ATOMIC_SEQ_CST);
        syscall(SYS_futex, &t->arrivals, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
    }
}
#endif
