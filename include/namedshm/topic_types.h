/* namedshm/topic_types.h - what a caller of namedshm_topic.h holds, and its limits.
 *
 * Owns:   nothing shared.  What computes an address is in private copies (nshm_topic).
 * Needs:  queue_types.h, topic_layout.h.
 */
#ifndef NAMEDSHM_PART_TOPIC_TYPES_H
#define NAMEDSHM_PART_TOPIC_TYPES_H
#include "queue_types.h"
#include "topic_layout.h"

#ifndef NSHM_TOPIC_NAP
#define NSHM_TOPIC_NAP 100000000 /* nanoseconds after which a sleeper looks again by itself: see "Kills" in namedshm_topic.h */
#endif
#define NSHM_TOPIC_SPIN 20000 /* nanoseconds to try before sleeping, unless the caller says otherwise */
#ifndef NSHM_TOPIC_WAKES
#define NSHM_TOPIC_WAKES 4    /* sleepers that a writer wakes; each of them wakes NSHM_TOPIC_PASSES more */
#endif
#define NSHM_TOPIC_PASSES 2
#define NSHM_TOPIC_TRIES 64   /* a reader that was overtaken so often in one call gives up */

/* A handle to a topic.  Its threads may use it at once; it stays where it is while it is open. */
typedef struct {
    nshm_handle handle;
    nshm_topic_head *head;
    nshm_topic_place *places;
    nshm_topic_frame *frame;
    char *ring, *data;
    uint32_t *wishes;        /* how often somebody was about to sleep; in the token, where every reader may write */
    /* copies of the constants, checked once */
    const void *schema;      /* schema_size bytes, to be mistrusted where writers are not trusted */
    uint32_t history, ring_size, stride, inline_max, frames, pins, writers, mode, schema_kind, schema_size;
    uint64_t value_max, frame_size;
    int64_t spin;            /* nanoseconds to try before sleeping: the caller's to change */
    /* our places in the table, by role - 1: a bit for each; those that are not in use now; what they sign with.  `forks` tells
     * whose they are: see topic_join.h */
    uint32_t forks;
    uint64_t mine[2], idle[2], id[2][NSHM_TOPIC_PLACES_MAX];
    nshm__life *life;
} nshm_topic;

/* A value that was read, or a frame to be filled. */
typedef struct {
    void *data;
    uint64_t length, number; /* number: of the value, from 1 on */
    uint64_t missed;         /* values between the one that was named as the last read and this one */
    int64_t time;            /* CLOCK_MONOTONIC nanoseconds, when it was published */
    uint64_t holder;         /* who pins or fills it; 0: nobody, so it may be overtaken while it is read */
    uint32_t frame;          /* NSHM_TOPIC_NONE: it has none */
} nshm_topic_window;

typedef struct { /* at about one moment; everything goes on meanwhile */
    uint64_t published, bytes; /* values and their bytes, since it was made */
    int64_t time;              /* of the last value, CLOCK_MONOTONIC nanoseconds; 0: there is none */
    uint32_t free_frames, loaned, pinned; /* pinned frames may be of the history */
    int ended;
} nshm_topic_statistics;

typedef struct { /* a place that is taken */
    uint32_t role, maker; /* maker: the user, as nshm_record has it */
    int pid, lives;       /* lives: 1, 0, or negative: could not tell */
} nshm_topic_participant;

static inline uint64_t nshm__place_bit(uint32_t i) { return 1ull << (i & 63); }
#endif
