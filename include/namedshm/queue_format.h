/* namedshm/queue_format.h - writing the format of a queue, and reading it.
 *
 * Owns:   a queue is formatted before anybody believes it.  Whoever opens it copies the constants, and computes from the copies where
 *         everything lies; it is believed only if it says the same and fits into the memory there is.
 * Needs:  queue_join.h.
 */
#ifndef NAMEDSHM_PART_QUEUE_FORMAT_H
#define NAMEDSHM_PART_QUEUE_FORMAT_H
#include "queue_join.h"

static inline void nshm__queue_format(void *memory, const nshm_queue_start *start, const nshm_queue_offsets *o) {
    nshm_queue_head *h = (nshm_queue_head *)memory;
    uint64_t *bits = (uint64_t *)((char *)memory + o->bits);
    h->version = NSHM_QUEUE_VERSION;
    h->mode = start->mode;
    h->capacity = start->capacity;
    h->inline_max = start->inline_max;
    h->stride = o->stride;
    h->chunks = start->chunks;
    h->participants = start->participants;
    h->message_max = start->message_max;
    h->chunk_size = o->chunk_size;
    h->size = o->size;
    h->space = nshm__queue_space();
    for (uint32_t c = 0; c < start->chunks; c++) bits[c / 64] |= 1ull << c % 64;
    nshm__poke(&h->magic, NSHM_QUEUE_MAGIC, RELEASE);
}

/* All of a queue but its handle, from memory of that size.  -EPROTO: another version; -EUCLEAN: not a queue, or damaged; -ENOMEM. */
static inline int nshm__queue_attach(nshm_queue *q, void *memory, uint64_t size) {
    nshm_queue_head *h = (nshm_queue_head *)memory;
    nshm_queue_start p;
    nshm_queue_offsets o;
    if (size < sizeof *h || nshm__peek(&h->magic, ACQUIRE) != NSHM_QUEUE_MAGIC) return -EUCLEAN;
    if (nshm__peek(&h->version, RELAXED) != NSHM_QUEUE_VERSION) return -EPROTO;
    p.capacity = nshm__peek(&h->capacity, RELAXED);
    p.inline_max = nshm__peek(&h->inline_max, RELAXED);
    p.chunks = nshm__peek(&h->chunks, RELAXED);
    p.participants = nshm__peek(&h->participants, RELAXED);
    p.mode = nshm__peek(&h->mode, RELAXED);
    p.message_max = nshm__peek(&h->message_max, RELAXED);
    if (nshm__queue_layout(&p, &o) || o.size != nshm__peek(&h->size, RELAXED) || o.size > size ||
        o.stride != nshm__peek(&h->stride, RELAXED) || o.chunk_size != nshm__peek(&h->chunk_size, RELAXED))
        return -EUCLEAN;
    q->head = h;
    q->entries = (nshm_queue_entry *)((char *)memory + o.entries);
    q->bits = (uint64_t *)((char *)memory + o.bits);
    q->chunk = (nshm_queue_chunk *)((char *)memory + o.chunks);
    q->slots = (char *)memory + o.slots;
    q->data = (char *)memory + o.data;
    q->capacity = p.capacity;
    q->inline_max = p.inline_max;
    q->stride = o.stride;
    q->chunks = p.chunks;
    q->participants = p.participants;
    q->mode = p.mode;
    q->message_max = p.message_max;
    q->chunk_size = o.chunk_size;
    q->warm = o.chunk_size >= NSHM_QUEUE_LARGE && o.chunk_size < NSHM_QUEUE_WARM ? (uint32_t)(NSHM_QUEUE_WARM / o.chunk_size) : 1;
    if (q->warm > q->chunks) q->warm = q->chunks;
    q->turn = 0;
    q->spin = NSHM_QUEUE_SPIN;
    q->forks = nshm__peek(&nshm__forks, ACQUIRE);
    q->roles = 0;
    q->entry = NSHM_QUEUE_NONE;
    q->id = 0;
    q->life = NULL;
    q->swept = 0;
    q->sweeping = 0;
    q->scratch = (unsigned char *)malloc(nshm__queue_scratch_size(q));
    return q->scratch ? 0 : -ENOMEM;
}

static inline int nshm_queue_size(const nshm_queue_start *start, uint64_t *size) {
    nshm_queue_offsets o;
    int r = nshm__queue_layout(start, &o);
    if (!r) *size = o.size;
    return r;
}
#endif
