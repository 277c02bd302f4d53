/* namedshm/queue_layout.h - the memory format of a queue (docs/format-queue.md).
 *
 * Owns:   the bytes of a queue's data, and what computes an address from them.  Whoever changes any of it raises NSHM_QUEUE_VERSION.
 *         What computes an address is copied and checked once, when the queue is opened; what is read later is checked after it was
 *         copied.
 * Needs:  common.h.
 */
#ifndef NAMEDSHM_PART_QUEUE_LAYOUT_H
#define NAMEDSHM_PART_QUEUE_LAYOUT_H
#include "common.h"

#define NSHM_QUEUE_MAGIC 0x314555455551484eULL /* "NHQUEUE1" */
#define NSHM_QUEUE_VERSION 1u
#define NSHM_QUEUE_CAPACITY_MAX 16777216u /* 2^24: a slot's number comes again after 256 laps at least */
#define NSHM_QUEUE_INLINE_MAX 4096u
#define NSHM_QUEUE_CHUNKS_MAX 65536u
#define NSHM_QUEUE_PARTICIPANTS_MAX 4096u
#define NSHM_QUEUE_MESSAGE_MAX 1099511627776ULL /* 2^40 */

/* mode of a queue, fixed at creation */
enum {
    NSHM_QUEUE_ACK = 1,         /* a message whose consumer dies before it released it is delivered again */
    NSHM_QUEUE_ENDS = 2,        /* it is over when it is empty and all its producers are gone */
    NSHM_QUEUE_DROP_OLDEST = 4, /* who finds it full drops the oldest message instead of waiting */
    NSHM_QUEUE_MODES = 7
};
/* roles; also the kind of a chunk's owner */
enum { NSHM_PRODUCER = 1, NSHM_CONSUMER = 2 };

/* One end, alone on its cache lines.
 *
 *   field     written by                         meaning
 *   lock      whoever locks or sleeps; kernel    0 or the holder's thread id, and two flags: see queue_lock.h
 *   cursor    the lock's holder                  put: next position, a hint after a kill; get: next position (release)
 *   seen      put: the lock's holder             the get cursor, as it was read last
 *   bytes     the lock's holder                  payload that went through this end
 */
typedef struct {
    uint32_t lock, spare;
    uint64_t cursor, seen, bytes;
    char gap[96];
} nshm_queue_end;

/* The beginning of a queue's data.  From version to size: written by its creator before the name is published. */
typedef struct {
    uint64_t magic;
    uint32_t version, mode, capacity, inline_max, stride, chunks, participants, spare;
    uint64_t message_max, chunk_size, size;
    uint32_t shut;                   /* 0, NSHM_QUEUE_DRAIN or NSHM_QUEUE_STOP: by anybody, never back */
    uint32_t generation;             /* of the last entry: under the get lock */
    uint32_t had_producer;           /* somebody has put: under the get lock */
    uint32_t space;                  /* PID namespace of its users (inode number), or NSHM_MIXED */
    uint32_t returned, spare1;       /* 1: a message may wait to be delivered again; a hint */
    uint64_t redelivered, dropped;   /* statistics: relaxed additions */
    char gap[256 - 104];
    nshm_queue_end put, get, pool;   /* who waits for messages sleeps on put.lock, for room on get.lock, for a chunk on pool.lock */
    char end[1024 - 640];
} nshm_queue_head;
enum { NSHM_QUEUE_DRAIN = 1, NSHM_QUEUE_STOP = 2 };

/* Who takes part: one for each handle that has put or taken.  Changed under the get lock. */
typedef struct {
    uint64_t word;       /* generation << 8 | roles; 0: free.  Stored last (release) */
    int32_t token;       /* the process's proof of life: id, size and maker of a segment that it alone has attached */
    uint32_t token_size, maker;
    int32_t pid;         /* shown to people, never used */
    char gap[40];
} nshm_queue_entry;

/* A chunk: where a message lies that does not fit into a slot, and every message of a queue with acknowledgement. */
typedef struct {
    uint64_t owner;      /* 0: free; else generation << 32 | entry << 8 | role.  Compare-and-swap only */
    uint64_t length;     /* by its producer, before the message is published */
    uint64_t position;   /* by its consumer, before it is the consumer's */
    char gap[40];
} nshm_queue_chunk;

/* A slot: a header, and the message (inline_max bytes) or the number of its chunk (4 bytes).  A message at a position exists if and
 * only if the upper half of its slot's header is the lower half of position + 1.  The lower half is the length, or NSHM__IN_CHUNK. */
#define NSHM__IN_CHUNK 0x80000000u

NSHM__ASSERT(sizeof(nshm_queue_end) == 128 && sizeof(nshm_queue_head) == 1024, "queue layout");
NSHM__ASSERT(offsetof(nshm_queue_head, put) == 256 && offsetof(nshm_queue_head, pool) == 512, "queue layout");
NSHM__ASSERT(sizeof(nshm_queue_entry) == 64 && sizeof(nshm_queue_chunk) == 64, "queue layout");

typedef struct { /* how a queue is made */
    uint32_t capacity;     /* messages: a power of two */
    uint32_t inline_max;   /* bytes: a message up to that long lies in its slot; 8 at least */
    uint32_t chunks;       /* longer messages, in the queue, being filled and being read, together */
    uint32_t participants; /* handles that put or take, at one time */
    uint32_t mode;         /* NSHM_QUEUE_* */
    uint64_t message_max;  /* bytes */
} nshm_queue_start;

typedef struct { /* where what lies, in bytes from the beginning */
    uint64_t entries, bits, chunks, slots, data, size, chunk_size;
    uint32_t stride;
} nshm_queue_offsets;

static inline int nshm__queue_layout(const nshm_queue_start *p, nshm_queue_offsets *o) {
    int chunked = p->message_max > p->inline_max || p->mode & (uint32_t)NSHM_QUEUE_ACK;
    if (!p->capacity || (p->capacity & (p->capacity - 1)) || p->capacity > NSHM_QUEUE_CAPACITY_MAX || p->inline_max < 8 ||
        p->inline_max > NSHM_QUEUE_INLINE_MAX || !p->participants || p->participants > NSHM_QUEUE_PARTICIPANTS_MAX ||
        p->chunks > NSHM_QUEUE_CHUNKS_MAX || !p->message_max || p->message_max > NSHM_QUEUE_MESSAGE_MAX || (chunked && !p->chunks) ||
        (p->mode & ~(uint32_t)NSHM_QUEUE_MODES))
        return -EINVAL;
    o->stride = (8 + p->inline_max + 7) & ~7u;
    o->chunk_size = p->chunks ? nshm_page_round(p->message_max) : 0;
    o->entries = sizeof(nshm_queue_head);
    o->bits = o->entries + (uint64_t)p->participants * sizeof(nshm_queue_entry);
    o->chunks = (o->bits + (p->chunks + 63) / 64 * 8 + 63) & ~63ull;
    o->slots = nshm_page_round(o->chunks + (uint64_t)p->chunks * sizeof(nshm_queue_chunk));
    o->data = nshm_page_round(o->slots + (uint64_t)p->capacity * o->stride);
    o->size = o->data + p->chunks * o->chunk_size;
    return o->size > NSHM_SIZE_MAX ? -EINVAL : 0;
}
#endif
