/* namedshm/topic_layout.h - the memory format of a topic (docs/format-topic.md).
 *
 * Owns:   the bytes of a topic's data, and what computes an address from them.  Whoever changes any of it raises
 *         NSHM_TOPIC_VERSION. What computes an address is copied and checked once, when the topic is opened; what is read later is
 *         checked after it was copied.
 * Needs:  layout.h.
 */
#ifndef NAMEDSHM_PART_TOPIC_LAYOUT_H
#define NAMEDSHM_PART_TOPIC_LAYOUT_H
#include "layout.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "nshm_topic_head.latest: futexes look at its first half, which must be the lower one"
#endif

#define NSHM_TOPIC_MAGIC 0x314349504f54484eULL /* "NHTOPIC1" */
#define NSHM_TOPIC_VERSION 1u
#define NSHM_TOPIC_HISTORY_MAX 65536u
#define NSHM_TOPIC_INLINE_MAX 4096u
#define NSHM_TOPIC_PLACES_MAX 64u /* of pins, and of writers */
#define NSHM_TOPIC_SCHEMA_MAX 65536u
#define NSHM_TOPIC_VALUE_MAX 1099511627776ULL /* 2^40 */
#define NSHM_TOPIC_ROOM 64u /* bytes at the beginning of the token: the wishes */

/* mode of a topic, fixed at creation */
enum {
    NSHM_TOPIC_ENDS = 1, /* waiting ends when all its writers are gone */
    NSHM_TOPIC_MODES = 1
};
/* what the schema is; here it is bytes only */
enum { NSHM_TOPIC_RAW = 0, NSHM_TOPIC_ARRAY = 1, NSHM_TOPIC_ARROW = 2 };
/* roles: what a place in the table is for */
enum { NSHM_PINNER = 1, NSHM_WRITER = 2 };

/* The beginning of a topic's data.  From version to size: written by its creator before the name is published.
 *
 *   field     written by                         meaning
 *   latest    holder of `lock`                   the last value's number << 1, and 1: the topic was ended.  Its lower half is the futex
 *   lock      writers, the kernel                0 or the holder's thread id: see topic_system.h
 *   bytes     holder of `lock`                   of all values that were published
 *   served    any writer                         wishes that are not to be answered any more: see topic_wait.h
 *   table     who changes the table              as `lock`, of the places
 */
typedef struct {
    uint64_t magic;
    uint32_t version, mode, history, ring, stride, inline_max, frames, pins, writers, schema_kind, schema_size, spare;
    uint64_t value_max, frame_size, size;
    uint32_t had_writer, generation; /* under `table` */
    char gap0[256 - 88];
    uint32_t lock, spare1;
    uint64_t bytes;
    uint32_t served, spare2;
    char gap1[128 - 24];
    uint64_t latest;
    char gap2[128 - 8];
    uint32_t table;
    char end[1024 - 516];
} nshm_topic_head;

/* Who takes part: a place for each value that may be filled at once, and for each frame that may be pinned at once.  The pins' come
 * first, so a place's number is its bit in nshm_topic_frame.pins.  Changed under `table`. */
typedef struct {
    uint64_t word;       /* generation << 8 | role; 0: free.  Stored last (release) */
    int32_t token;       /* the process's proof of life: id, size and maker of a segment that it alone has attached */
    uint32_t token_size, maker;
    int32_t pid;         /* shown to people, never used */
    char gap[40];
} nshm_topic_place;

/* Where a value lies that is longer than inline_max. */
typedef struct {
    uint64_t state;      /* 0: free; number << 1: has that value; generation << 32 | place << 8 | 1: a writer's, being filled */
    char gap0[56];
    uint64_t pins;       /* a bit for each place that pins it */
    char gap1[56];
} nshm_topic_frame;

/* What the ring tells of a value.  Behind it are inline_max bytes: the value, if it has no frame.  Written under `lock`. */
typedef struct {
    uint64_t number;     /* 0 while the rest changes */
    uint64_t length;
    int64_t time;        /* CLOCK_MONOTONIC nanoseconds, when it was published */
    uint32_t frame, spare; /* NSHM_TOPIC_NONE: the value lies here */
} nshm_topic_value;
#define NSHM_TOPIC_NONE 0xffffffffu

NSHM__ASSERT(sizeof(nshm_topic_head) == 1024 && offsetof(nshm_topic_head, lock) == 256, "topic layout");
NSHM__ASSERT(offsetof(nshm_topic_head, latest) == 384 && offsetof(nshm_topic_head, table) == 512, "topic layout");
NSHM__ASSERT(sizeof(nshm_topic_place) == 64 && sizeof(nshm_topic_frame) == 128 && sizeof(nshm_topic_value) == 32, "topic layout");

typedef struct { /* how a topic is made */
    uint32_t history;     /* values that can be read besides being overtaken: the last so many */
    uint32_t inline_max;  /* bytes: a value up to that long lies in the ring, and is copied, never pinned */
    uint32_t pins;        /* frames that may be pinned at one time, by all readers together */
    uint32_t writers;     /* values that may be filled at one time, by all writers together; each writer needs one */
    uint32_t mode;        /* NSHM_TOPIC_ENDS */
    uint64_t value_max;   /* bytes */
    uint32_t schema_kind; /* NSHM_TOPIC_RAW, ... */
    uint32_t schema_size; /* bytes */
    const void *schema;   /* what tells readers what the values mean; it is copied */
} nshm_topic_start;

typedef struct { /* where what lies, in bytes from the beginning */
    uint64_t places, schema, frame, ring, data, size, frame_size;
    uint32_t ring_size, stride, frames;
} nshm_topic_offsets;

static inline int nshm__topic_layout(const nshm_topic_start *p, nshm_topic_offsets *o) {
    if (!p->history || p->history > NSHM_TOPIC_HISTORY_MAX || p->inline_max > NSHM_TOPIC_INLINE_MAX || p->pins > NSHM_TOPIC_PLACES_MAX ||
        !p->writers || p->writers > NSHM_TOPIC_PLACES_MAX || !p->value_max || p->value_max > NSHM_TOPIC_VALUE_MAX ||
        p->schema_size > NSHM_TOPIC_SCHEMA_MAX || (p->mode & ~(uint32_t)NSHM_TOPIC_MODES))
        return -EINVAL;
    /* One more than the history at least: what is being written is not of it. */
    for (o->ring_size = 2; o->ring_size <= p->history; o->ring_size *= 2) {}
    o->stride = (uint32_t)(sizeof(nshm_topic_value) + p->inline_max + 63) & ~63u;
    /* A writer always finds a frame: besides those of the history, each pin and each other writer keeps one back. */
    o->frames = p->value_max > p->inline_max ? p->history + p->pins + p->writers + 1 : 0;
    o->frame_size = o->frames ? nshm_page_round(p->value_max) : 0;
    o->places = sizeof(nshm_topic_head);
    o->schema = o->places + (uint64_t)(p->pins + p->writers) * sizeof(nshm_topic_place);
    o->frame = (o->schema + p->schema_size + 127) & ~127ull;
    o->ring = nshm_page_round(o->frame + (uint64_t)o->frames * sizeof(nshm_topic_frame));
    o->data = nshm_page_round(o->ring + (uint64_t)o->ring_size * o->stride);
    o->size = o->data + o->frames * o->frame_size;
    return o->size > NSHM_SIZE_MAX ? -EINVAL : 0;
}
#endif
