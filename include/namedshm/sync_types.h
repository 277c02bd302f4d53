/* namedshm/sync_types.h - what a caller of namedshm_sync.h holds, and its limits.
 *
 * Owns:   nothing shared.  What is copied from the page when a waitee is filled is not read from the page again.
 * Needs:  sync_words.h, types.h.
 */
#ifndef NAMEDSHM_PART_SYNC_TYPES_H
#define NAMEDSHM_PART_SYNC_TYPES_H
#include "sync_words.h"
#include "types.h"

#define NSHM_WAIT_MAX 64     /* objects of one wait */
#define NSHM_ABANDONED 0x80  /* added to an index: that mutex's owner died */

#define NSHM_SEMAPHORE_MAX 0x7fffffff
#define NSHM_OWNED_MAX 1024 /* mutexes of one thread.  The kernel follows 2,048 nodes of a dead thread's list, the C library's included */
#ifndef NSHM_PAUSES
#define NSHM_PAUSES 64 /* most pauses between two looks while spinning: about a microsecond */
#endif
#ifndef NSHM_NAP
#define NSHM_NAP 500000000 /* nanoseconds after which a sleeper looks again by itself: see "Kills" in namedshm_sync.h */
#endif
#define NSHM_BRIEF 1000000      /* nanoseconds for which even a try waits for somebody's wait-all to end */
#define NSHM_TAMPERED 200000000 /* nanoseconds after which a word that contradicts what this process knows is called damaged */

/* A word that is watched beside waits: it was armed by its owner, who looked again after that (queue_watch.h). */
typedef struct {
    uint32_t *word, value; /* sleep as long as that is in it */
    int ready;             /* before: do not sleep; after: it deserves a look */
    int64_t until;         /* when it does in any case */
} nshm_watched;
#define NSHM_WATCH_MAX 127 /* objects of all waits of a watch together: FUTEX_WAITV_MAX less the control word */

/* An object as operations see it: nshm_sync_waitee fills it in. */
typedef struct {
    nshm_words *words;
    nshm_place *place;
    uint64_t identity;
    uint32_t type, manual, maximum; /* copied by nshm_sync_waitee, for others may overwrite those in the page */
    uint32_t pulse;                 /* the event's generation when this wait began */
} nshm_waitee;

typedef struct { /* a wait for one or all of several objects */
    nshm_waitee object[NSHM_WAIT_MAX];
    int count, all, begun;
    int64_t deadline;   /* CLOCK_MONOTONIC nanoseconds; INT64_MAX never; 0 do not wait */
    int64_t spin;       /* nanoseconds to try before sleeping */
    uint64_t abandoned; /* result: one bit for each object */
} nshm_wait_context;

typedef struct { /* for nshm_sync_fill */
    uint32_t type, manual, maximum, initial;
} nshm_sync_start;
#endif
