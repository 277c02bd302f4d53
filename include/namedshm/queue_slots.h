/* namedshm/queue_slots.h - the ring: publishing messages, and moving on over them.
 *
 * Owns:   a message exists by one release store, the header of its slot; it is a consumer's by one release store, the get cursor.
 *         So a death under either lock needs no repair: what was not published does not exist, and a put cursor that was left
 *         behind is moved over what is published.
 *         A message in a chunk: the chunk is its consumer's before the cursor moves, else it would be left with its producer.
 * Needs:  queue_system.h.
 */
#ifndef NAMEDSHM_PART_QUEUE_SLOTS_H
#define NAMEDSHM_PART_QUEUE_SLOTS_H
#include "queue_system.h"

static inline uint64_t *nshm__queue_slot(const nshm_queue *q, uint64_t position) {
    return (uint64_t *)(q->slots + (position & (q->capacity - 1)) * q->stride);
}
static inline int nshm__queue_published(uint64_t header, uint64_t position) { return (uint32_t)(header >> 32) == (uint32_t)(position + 1); }
/* The number of the chunk that a slot names. */
static inline uint32_t *nshm__queue_named(uint64_t *slot) { return (uint32_t *)(slot + 1); }

/* Is there no message?  Without the lock, so it may have changed; but never wrong for who has set the put lock's flags before. */
static inline int nshm__queue_empty(nshm_queue *q) {
    uint64_t t = nshm__peek(&q->head->get.cursor, ACQUIRE);
    return !nshm__queue_published(nshm__peek(nshm__queue_slot(q, t), ACQUIRE), t);
}
/* The same of room, and the get lock.  The put cursor may be behind, by a kill: then it is not full, says this, and who puts finds out. */
static inline int nshm__queue_full(nshm_queue *q) {
    uint64_t t = nshm__peek(&q->head->get.cursor, ACQUIRE);
    return nshm__peek(&q->head->put.cursor, RELAXED) - t >= q->capacity;
}

/* ------------------------------------------------------------------------------------------------ putting, under the put lock
 * The position to write.  -EAGAIN: full; -EUCLEAN: somebody wrote over a cursor. */
static inline int nshm__queue_room(nshm_queue *q, uint64_t *position) {
    nshm_queue_end *e = &q->head->put;
    uint64_t h = nshm__peek(&e->cursor, RELAXED), begun = h, seen = nshm__peek(&e->seen, RELAXED);
    for (uint32_t i = 0; nshm__queue_published(nshm__peek(nshm__queue_slot(q, h), RELAXED), h); h++)
        if (++i > q->capacity) return -EUCLEAN;
    *position = h;
    if (h != begun) nshm__poke(&e->cursor, h, RELAXED); /* a producer was killed between publishing and this */
    if (h - seen < q->capacity) return 0;
    seen = nshm__peek(&q->head->get.cursor, ACQUIRE); /* acquire: what was read there has been read before we write */
    nshm__poke(&e->seen, seen, RELAXED);
    return h - seen > q->capacity ? -EUCLEAN : h - seen == q->capacity ? -EAGAIN : 0;
}
static inline void nshm__queue_publish(nshm_queue *q, uint64_t position, uint32_t length) {
    NSHM_STEP("publishing");
    nshm__poke(nshm__queue_slot(q, position), (uint64_t)(uint32_t)(position + 1) << 32 | length, RELEASE); /* it exists from here on */
    NSHM_STEP("published");
    nshm__poke(&q->head->put.cursor, position + 1, RELAXED);
}
static inline void nshm__queue_add(uint64_t *counter, uint64_t n) { nshm__poke(counter, nshm__peek(counter, RELAXED) + n, RELAXED); }

/* Put messages that fit into slots: how many, or an error.  A kill leaves the first of them. */
static inline int nshm__queue_put_inline(nshm_queue *q, const void *const *data, const uint64_t *length, int n, int64_t deadline) {
    nshm_queue_end *e = &q->head->put;
    uint64_t position, bytes = 0;
    int r, k = 0;
    for (; k < n && k < 8; k++) /* no page of the caller's is missing under the lock, as far as that can be said */
        if (length[k]) (void)*(const volatile char *)data[k], (void)((const volatile char *)data[k])[length[k] - 1];
    if ((r = nshm__queue_lock(&e->lock, deadline))) return r;
    for (k = 0; k < n && !(r = nshm__queue_room(q, &position)); k++) {
        if (length[k]) memcpy(nshm__queue_slot(q, position) + 1, data[k], length[k]);
        nshm__queue_publish(q, position, (uint32_t)length[k]);
        bytes += length[k];
    }
    if (k) nshm__queue_add(&e->bytes, bytes);
    nshm__queue_unlock(&e->lock, k);
    return k ? k : r;
}
/* Put a chunk that is ours and filled: 0 or an error. */
static inline int nshm__queue_put_chunk(nshm_queue *q, uint32_t chunk, uint64_t length, int64_t deadline) {
    nshm_queue_end *e = &q->head->put;
    uint64_t position;
    int r = nshm__queue_lock(&e->lock, deadline);
    if (r) return r;
    if (!(r = nshm__queue_room(q, &position))) {
        nshm__poke(&q->chunk[chunk].length, length, RELAXED);
        nshm__poke(nshm__queue_named(nshm__queue_slot(q, position)), chunk, RELAXED);
        nshm__queue_publish(q, position, NSHM__IN_CHUNK);
        nshm__queue_add(&e->bytes, length);
    }
    nshm__queue_unlock(&e->lock, 1);
    return r;
}

/* ------------------------------------------------------------------------------------------------ taking, under the get lock
 * The message at a position; if it is in a chunk, that is ours now.  What is read is copied before it is checked.  -EAGAIN: there
 * is none; -EUCLEAN. */
static inline int nshm__queue_next(nshm_queue *q, uint64_t position, nshm_queue_window *w) {
    uint64_t *slot = nshm__queue_slot(q, position), header = nshm__peek(slot, ACQUIRE), owner;
    uint32_t c;
    int r;
    if (!nshm__queue_published(header, position)) return -EAGAIN;
    w->position = position;
    w->redelivered = 0;
    w->chunk = NSHM_QUEUE_NONE;
    w->length = (uint32_t)header;
    w->data = slot + 1;
    if (!(header & NSHM__IN_CHUNK)) return w->length > q->inline_max ? -EUCLEAN : 0;
    c = nshm__peek(nshm__queue_named(slot), RELAXED);
    if (c >= q->chunks) return -EUCLEAN;
    owner = nshm__peek(&q->chunk[c].owner, RELAXED);
    w->length = nshm__peek(&q->chunk[c].length, RELAXED);
    w->data = q->data + c * q->chunk_size;
    if (!owner || w->length > q->message_max) return -EUCLEAN;
    if ((r = nshm__queue_back(q, c))) return r;
    nshm__poke(&q->chunk[c].position, position, RELAXED);
    NSHM_STEP("owning");
    if (!nshm__trade(&q->chunk[c].owner, &owner, q->id | NSHM_CONSUMER, ACQ_REL)) return -EUCLEAN;
    NSHM_STEP("owned");
    w->chunk = c;
    return 0;
}
static inline void nshm__queue_advance(nshm_queue *q, uint64_t position, uint64_t bytes) {
    NSHM_STEP("consuming");
    nshm__queue_add(&q->head->get.bytes, bytes);
    nshm__poke(&q->head->get.cursor, position, RELEASE); /* they are ours from here on; and what we read is read */
    NSHM_STEP("consumed");
}
/* Take up to n messages: how many, or an error.  Those in slots are copied, one behind the other, to `buffer`; chunks stay where
 * they are.  `room`: of the buffer; -EMSGSIZE: not enough for the first, whose length is in w->length then. */
static inline int nshm__queue_take_some(nshm_queue *q, void *buffer, uint64_t room, nshm_queue_window *w, int n, int64_t deadline) {
    nshm_queue_end *e = &q->head->get;
    uint64_t used = 0, bytes = 0, t;
    int r, k;
    if (nshm__queue_empty(q)) return -EAGAIN;
    if ((r = nshm__queue_lock(&e->lock, deadline))) return r;
    t = nshm__peek(&e->cursor, RELAXED);
    for (k = 0; k < n && !(r = nshm__queue_next(q, t + (uint64_t)k, &w[k])); k++) {
        bytes += w[k].length;
        if (w[k].chunk != NSHM_QUEUE_NONE) continue;
        if (w[k].length > room - used) {
            bytes -= w[k].length;
            r = -EMSGSIZE;
            break;
        }
        if (w[k].length) memcpy((char *)buffer + used, w[k].data, w[k].length);
        w[k].data = (char *)buffer + used;
        used += w[k].length;
    }
    if (k) nshm__queue_advance(q, t + (uint64_t)k, bytes);
    nshm__queue_unlock(&e->lock, k);
    return k ? k : r;
}
#endif
