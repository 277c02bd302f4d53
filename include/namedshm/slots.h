/* namedshm/slots.h - the records of a registry: reading them without the lock, finding a name, and freeing what is dead.
 *
 * Owns:   how a record is read while others write it.  Its nonce is cleared before it changes and set last: a copy is whole if the
 *         nonce is the same, and not 0, before and after.  Both sides access it by relaxed atomic words; with plain accesses
 *         the behaviour would be undefined, and a compiler free to split or to repeat them.
 *         A record never moves, so a name that is there all the time is found; unless it is given to another object (naming.h).
 *         Nothing read here is believed before nshm__sound: whoever may write a registry could have written anything.
 * Needs:  lock.h, places.h.
 */
#ifndef NAMEDSHM_PART_SLOTS_H
#define NAMEDSHM_PART_SLOTS_H
#include "lock.h"
#include "places.h"

typedef uint64_t __attribute__((may_alias)) nshm__word;
static inline void nshm__put(void *shared, const void *from, size_t n) { /* the last word is filled up with zeros */
    for (size_t k = 0; k < n; k += 8) {
        uint64_t word = 0;
        memcpy(&word, (const char *)from + k, n - k < 8 ? n - k : 8);
        __atomic_store_n((nshm__word *)((char *)shared + k), word, __ATOMIC_RELAXED);
    }
}
static inline void nshm__get(void *to, const void *shared, size_t n) {
    for (size_t k = 0; k < n; k += 8) {
        uint64_t word = __atomic_load_n((const nshm__word *)((const char *)shared + k), __ATOMIC_RELAXED);
        memcpy((char *)to + k, &word, n - k < 8 ? n - k : 8);
    }
}
static inline int nshm__same(const char *shared, const char *mine, size_t n) {
    for (size_t k = 0; k < n; k += 8) {
        uint64_t word = __atomic_load_n((const nshm__word *)(shared + k), __ATOMIC_RELAXED);
        if (memcmp(&word, mine + k, n - k < 8 ? n - k : 8)) return 0;
    }
    return 1;
}
/* Copy a record's facts, all but the name.  0: there is none, or it changed meanwhile. */
static inline int nshm__copy(const nshm_record *r, nshm_record *facts) {
    uint64_t n = __atomic_load_n(&r->nonce, __ATOMIC_ACQUIRE);
    if (!n) return 0;
    nshm__get(facts, r, offsetof(nshm_record, name));
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return __atomic_load_n(&r->nonce, __ATOMIC_RELAXED) == n && facts->nonce == n && facts->length <= NSHM_NAME_MAX;
}
/* The slot of a name, at or after `from`, with a whole copy of its record's facts.  -1: none.  Needs no lock.  A name that is there
 * throughout is found, because records do not move; names do, by nshm_replace, and then `moves` has changed. */
static inline int nshm__find(const nshm_registry *t, uint32_t from, uint32_t hash, const char *name, size_t n, nshm_record *facts) {
    uint32_t used = nshm__used(t);
    for (uint32_t i = from; i < used; i++) {
        if (__atomic_load_n(&t->hash[i], __ATOMIC_ACQUIRE) != hash) continue;
        const nshm_record *r = &t->record[i];
        if (!nshm__copy(r, facts) || facts->length != n || !nshm__same(r->name, name, n)) continue;
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (__atomic_load_n(&r->nonce, __ATOMIC_RELAXED) == facts->nonce) return (int)i;
    }
    return -1;
}
/* Can this be a record?  Whether its object lives is decided by what the kernel says of its segments. */
static inline int nshm__sound(const nshm_record *f) {
    if (f->token < 0 || !f->token_size || f->token_size > NSHM_TOKEN_SPAN + NSHM_TOKEN_ROOM || !f->length || f->length > NSHM_NAME_MAX ||
        (f->mode & ~0666u) || (f->props & ~(uint32_t)NSHM_OBJ_ALL))
        return 0;
    switch (f->type & ~NSHM_PARCEL) {
    case NSHM_SECTION: return f->size && f->size <= NSHM_SIZE_MAX && (f->props & NSHM_OBJ_FILE ? f->data == -1 : f->data >= 0);
    case NSHM_QUEUE:
    case NSHM_TOPIC: return f->size && f->size <= NSHM_SIZE_MAX && f->data >= 0 && !(f->props & ~(uint32_t)NSHM_OBJ_HUGE);
    case NSHM_MUTEX:
    case NSHM_EVENT:
    case NSHM_SEMAPHORE: return f->size == NSHM_WORDS_SIZE && f->data >= 0 && !f->props;
    default: return 0;
    }
}
/* Does the object of this record live?  1; 0, which is proof; negative: could not tell. */
static inline int nshm__lives(const nshm_scope *s, const nshm_record *r) {
    int64_t ctime;
    return nshm__is(s, r->token, r->token_size, r->maker, 0, &ctime);
}

/* Under the lock: a free slot.  Slots of objects whose holders were killed are freed when the table has grown to twice what
 * lived at the last such sweep: so in the long run a sweep costs each creator the same. */
static inline int nshm__slot(const nshm_scope *s, nshm_registry *t) {
    uint32_t used = nshm__used(t), living = 0, i;
    for (i = 0; i < used; i++)
        if (!t->hash[i]) return (int)i;
    if (used >= t->sweep || used == NSHM_CAPACITY) {
        for (i = used; i-- > 0;) {
            if (nshm__lives(s, &t->record[i]) == 0) nshm__free(t, i);
            else living++;
        }
        t->sweep = living < 128 ? 256 : living * 2;
        used = nshm__used(t);
        for (i = 0; i < used; i++)
            if (!t->hash[i]) return (int)i;
    }
    if (used >= NSHM_CAPACITY) return -ENFILE;
    return (int)used;
}
/* Free the slot of an object that was seen dead, if it still is that object's.  Not while a creator is at work: a dead record is
 * harmless. */
static inline void nshm__tidy(nshm_place *p, uint32_t slot, uint64_t nonce) {
    nshm_registry *t = p->registry;
    if (!p->writable || slot >= NSHM_CAPACITY || __atomic_load_n(&t->record[slot].nonce, __ATOMIC_RELAXED) != nonce) return;
    if (nshm__lock(t, 0)) return;
    if (t->record[slot].nonce == nonce && nshm__here(p) == 1 && nshm__lives(p->scope, &t->record[slot]) == 0) nshm__free(t, slot);
    nshm__unlock(t);
}
#endif
