/* namedshm/sync_words.h - the page of a mutex, event or semaphore, and the private page behind a mutex.
 *
 * Owns:   who writes which word, and what it means (docs/format-linux.md has it too, with the order of memory accesses).
 * Needs:  layout.h.
 */
#ifndef NAMEDSHM_PART_SYNC_WORDS_H
#define NAMEDSHM_PART_SYNC_WORDS_H
#include "layout.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "nshm_words.counter: futexes look at its first half, which must be the lower one"
#endif

/* A wait-all that commits reserves each object by a bit.  In a mutex: bit 29 of the thread id, which no thread id has (they have
 * 22 bits). */
#define NSHM_RESERVED_MUTEX 0x20000000u
#define NSHM_RESERVED 0x80000000u /* in an event or a semaphore */
/* An event is set, a semaphore not 0.  It is not one of the bits of a thread id, so that the kernel takes the word for a free
 * one: see "Kills" in namedshm_sync.h. */
#define NSHM_SET 0x40000000u
#define NSHM_MIXED 0xffffffffu /* in `space`: used from several PID namespaces */

/* The page of a synchronisation object.
 *
 *   field     written by                        meaning
 *   manual    creator, before publication       event: stays set until reset
 *   maximum   creator, before publication       semaphore
 *   waiters   whoever sleeps                    how many; after a kill too high, which costs a system call; never too low
 *   pulse     event_set, event_pulse            generation << 1 | credit: what a waiter that began earlier may take
 *   space     creator; who comes from another   mutex: PID namespace of its users (inode number), or NSHM_MIXED
 *   state     compare-and-swap; the kernel      mutex: thread id | FUTEX_WAITERS | FUTEX_OWNER_DIED; event, semaphore: NSHM_SET or 0;
 *                                               with a reservation bit while a wait-all commits
 *   counter   compare-and-swap                  semaphore: state, and in the upper half the count: NSHM_SET if and only if not 0
 *
 * What every acquisition writes is one cache line; who only sleeps or looks for sleepers uses another.  `state` is at the end of the page.
 * Where the node of the robust list lies is fixed by the C library's robust_list_head (glibc: 32 bytes behind the word, musl: 28), and so
 * it falls into the page behind this one: nshm__private. */
typedef struct {
    uint32_t type, manual, maximum, spare;
    char gap0[48];
    uint32_t waiters, pulse;
    char gap1[4080 - 72];
    uint32_t space, spare1;
    union {
        uint32_t state;
        uint64_t counter;
    };
} nshm_words;

/* The page behind each attachment of a mutex, private to this process (nshm__back).  Zeros at first, and in a forked child.
 *
 *   field     written by                        meaning
 *   links     the owner                         node of its robust list, as the C library lays it out: prev, next
 *   holder    compare-and-swap                  the thread whose robust list goes through here, or 0, with NSHM__CLAIMING or NSHM__KEPT
 *   head      the holder                        its robust_list_head: tells it from a later thread of the same number
 */
typedef struct {
    char links[48];
    uint32_t holder, spare;
    struct robust_list_head *head;
} nshm__private;
#define NSHM__CLAIMING 0x40000000u /* `head` is not written yet */
#define NSHM__KEPT 0x80000000u     /* the handle was closed: the holder unmaps the pages */

#ifndef __cplusplus
_Static_assert(offsetof(nshm_words, waiters) == 64 && offsetof(nshm_words, state) == 4088 && sizeof(nshm_words) == NSHM_WORDS_SIZE, "word layout");
#endif
static inline nshm__private *nshm__behind(nshm_words *w) { return (nshm__private *)((char *)w + NSHM_WORDS_SIZE); }

static inline uint32_t nshm__count(uint64_t counter) { return (uint32_t)(counter >> 32); }
static inline uint64_t nshm__counter(uint32_t count) { return (uint64_t)count << 32 | (count ? NSHM_SET : 0); }
#endif
