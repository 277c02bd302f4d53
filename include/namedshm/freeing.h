/* namedshm/freeing.h - freeing a record, and ending what a killed process began.
 *
 * Owns:   a name leads to one record, also when the process that was giving it to another one was killed (naming.h): who has the lock
 *         next ends that before it does anything else.  So nobody is led to the old object after the new one may have been found.
 * Needs:  layout.h.
 */
#ifndef NAMEDSHM_PART_FREEING_H
#define NAMEDSHM_PART_FREEING_H
#include "layout.h"

static inline uint32_t nshm__used(const nshm_registry *t) {
    uint32_t n = __atomic_load_n(&t->used, __ATOMIC_ACQUIRE);
    return n <= NSHM_CAPACITY ? n : NSHM_CAPACITY;
}
/* Under the lock. */
static inline void nshm__free(nshm_registry *t, uint32_t slot) {
    __atomic_store_n(&t->hash[slot], 0, __ATOMIC_RELEASE);
    NSHM_STEP("freeing");
    __atomic_store_n(&t->record[slot].nonce, 0, __ATOMIC_RELEASE);
    uint32_t used = nshm__used(t);
    while (used && !t->hash[used - 1]) used--; /* keep the scan short */
    __atomic_store_n(&t->used, used, __ATOMIC_RELEASE);
}
/* Under the lock: end a replacement, one's own or a killed process's.  The heir's slot was free before: if there is a record in it, the
 * name is the heir's, and the old record goes; else nothing has happened.  To do it again changes nothing. */
static inline void nshm__settle(nshm_registry *t) {
    uint32_t old = t->leaving - 1, heir = t->heir;
    if (old < NSHM_CAPACITY && heir < NSHM_CAPACITY) {
        if (t->hash[heir] && t->record[heir].nonce) {
            __atomic_store_n(&t->moves, t->moves + 1, __ATOMIC_RELEASE); /* who has passed the heir's slot before is to look again ... */
            NSHM_STEP("moved");
            nshm__free(t, old); /* ... when it comes to this one and it is free */
        }
        __atomic_store_n(&t->record[old].closing, 0, __ATOMIC_SEQ_CST);
    }
    __atomic_store_n(&t->leaving, 0, __ATOMIC_RELEASE);
}
#endif
