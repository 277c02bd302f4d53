/* namedshm/queue_types.h - what a caller of namedshm_queue.h holds, its limits, and how the parts read and write shared words.
 *
 * Owns:   nothing shared.  What computes an address is in private copies (nshm_queue).
 * Needs:  queue_layout.h, types.h, types_windows.h.
 */
#ifndef NAMEDSHM_PART_QUEUE_TYPES_H
#define NAMEDSHM_PART_QUEUE_TYPES_H
#include "queue_layout.h"
#ifdef _WIN32
#include "types_windows.h"
#else
#include "types.h"
#endif

#ifndef NSHM_QUEUE_NAP
#define NSHM_QUEUE_NAP 100000000 /* nanoseconds after which a sleeper looks again by itself: see "Kills" in namedshm_queue.h */
#endif
#ifndef NSHM_QUEUE_GLANCE
#define NSHM_QUEUE_GLANCE 2000000 /* the same while others hold messages that they have not acknowledged */
#endif
#ifndef NSHM_QUEUE_PATIENCE
#define NSHM_QUEUE_PATIENCE 10000000000 /* nanoseconds until a lock whose holder is stopped is an error, without a deadline */
#endif
#define NSHM__AT_ONCE 1 /* a deadline that is over: a lock is looked at for some microseconds, without letting others run */
#define NSHM_QUEUE_WARM 4194304 /* bytes of chunks that are taken by turns: more than a processor's own cache, less than a shared one */
#define NSHM_QUEUE_LARGE 16384 /* bytes of a chunk, from which on they are taken by turns */
#define NSHM_QUEUE_SPIN 20000 /* nanoseconds to try before sleeping, unless the caller says otherwise */

typedef struct nshm__life nshm__life; /* a process's proof of life: see queue_life.h */

/* A handle to a queue.  Its threads may use it at once; it stays where it is while it is open. */
typedef struct {
    nshm_handle handle;
    nshm_queue_head *head;
    nshm_queue_entry *entries;
    uint64_t *bits;          /* chunks that may be free: a hint */
    nshm_queue_chunk *chunk;
    char *slots, *data;
    /* copies of the constants, checked once */
    uint32_t capacity, inline_max, stride, chunks, participants, mode;
    uint64_t message_max, chunk_size;
    uint32_t warm;           /* chunks that are taken by turns: the first ones */
    int64_t spin;            /* nanoseconds to try before sleeping: the caller's to change */
    /* who we are in the table: written under the get lock, in the order forks, id and entry, roles */
    uint32_t forks, roles, entry;
    uint64_t id;             /* generation << 32 | entry << 8 */
    nshm__life *life;
    uint32_t turn;           /* the chunk whose turn it is: a hint, of any thread */
    int64_t swept;           /* when somebody here last looked for the dead */
    uint32_t sweeping;       /* 1: a thread uses `scratch` */
    unsigned char *scratch;
} nshm_queue;

/* A message that was taken, or a chunk to be filled. */
typedef struct {
    void *data;
    uint64_t length, position; /* position: of a message, the same in every process, and also when it is delivered again */
    uint32_t chunk;            /* NSHM_QUEUE_NONE: it is in the caller's buffer, or nothing is held */
    int redelivered;           /* it was taken before, by a consumer that died or returned it */
} nshm_queue_window;
#define NSHM_QUEUE_NONE 0xffffffffu

typedef struct { /* at about one moment; everything goes on meanwhile */
    uint64_t put, got, put_bytes, got_bytes, redelivered, dropped;
    uint32_t waiting, held, loaned, free_chunks; /* messages in the queue; chunks of consumers, of producers (loans and messages), free */
    int shut, sleepers; /* sleepers: 1 messages, 2 room, 4 chunks are waited for by somebody, or were a moment ago */
} nshm_queue_statistics;

typedef struct { /* one who takes part */
    uint32_t roles, maker; /* maker: the user, as nshm_record has it */
    int pid, lives;        /* lives: 1, 0, or negative: could not tell */
} nshm_queue_participant;

#define nshm__peek(place, order) __atomic_load_n(place, __ATOMIC_##order)
#define nshm__poke(place, value, order) __atomic_store_n(place, value, __ATOMIC_##order)
/* Strong compare-and-swap: `order` if it succeeds, relaxed if not. */
#define nshm__trade(place, old, fresh, order) __atomic_compare_exchange_n(place, old, fresh, 0, __ATOMIC_##order, __ATOMIC_RELAXED)
#endif
