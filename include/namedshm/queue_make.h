/* namedshm/queue_make.h - making, opening and closing a queue.
 *
 * Owns:   a queue is formatted before its name exists.  Whoever opens it copies the constants, and computes from the copies where
 *         everything lies; it is believed only if it says the same and fits into the segment.
 * Needs:  handles.h, queue_join.h.
 */
#ifndef NAMEDSHM_PART_QUEUE_MAKE_H
#define NAMEDSHM_PART_QUEUE_MAKE_H
#include "handles.h"
#include "queue_join.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

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
    nshm__tid();
    h->space = nshm__me.space;
    for (uint32_t c = 0; c < start->chunks; c++) bits[c / 64] |= 1ull << c % 64;
    nshm__poke(&h->magic, NSHM_QUEUE_MAGIC, RELEASE);
}
static inline int nshm__queue_fill(nshm_handle *h, void *context) { /* an nshm_filler */
    const nshm_queue_start *start = (const nshm_queue_start *)context;
    nshm_queue_offsets o;
    int r = nshm__queue_layout(start, &o);
    if (!r) nshm__queue_format(h->data, start, &o);
    return r;
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
/* What every operation touches has its pages before one needs them under a lock; those of chunks come as they are used.  A kernel
 * before 5.14 cannot do it: then they come at first use. */
static inline int nshm__queue_populate(const nshm_queue *q) {
    uint64_t n = (uint64_t)(q->slots - (char *)q->head) + (uint64_t)q->capacity * q->stride;
    while (madvise(q->head, nshm_page_round(n), MADV_POPULATE_WRITE))
        if (errno != EINTR && errno != EAGAIN) return errno == ENOMEM || errno == EFAULT ? -ENOMEM : 0;
    return 0;
}

static inline int nshm_queue_size(const nshm_queue_start *start, uint64_t *size) {
    nshm_queue_offsets o;
    int r = nshm__queue_layout(start, &o);
    if (!r) *size = o.size;
    return r;
}
static inline int nshm_queue_create(nshm_scope *s, const char *name, size_t n, unsigned mode, int64_t group, int flags,
                                    const nshm_queue_start *start, nshm_queue *q) {
    nshm_queue_start copy = *start;
    uint64_t size;
    int r = nshm_queue_size(start, &size);
    if (r) return r;
    if (flags & NSHM_READONLY) return -EINVAL;
    r = nshm_create(s, NSHM_QUEUE, name, n, size, mode, group, NSHM_UNCOUNTED, flags, 0, nshm__queue_fill, &copy, &q->handle);
    if (r) return r;
    q->scratch = NULL;
    if (!(r = nshm__queue_attach(q, q->handle.data, q->handle.size)) && q->handle.created) r = nshm__queue_populate(q);
    if (!r) return 0;
    free(q->scratch);
    nshm_close(&q->handle, 0);
    return r;
}
static inline int nshm_queue_open(nshm_scope *s, const char *name, size_t n, int flags, nshm_queue *q) {
    int r = nshm_open(s, NSHM_QUEUE, name, n, flags, &q->handle);
    if (r || !(r = nshm__queue_attach(q, q->handle.data, q->handle.size))) return r;
    nshm_close(&q->handle, 0);
    return r;
}
static inline void nshm_queue_close(nshm_queue *q) {
    nshm__queue_leave(q);
    free(q->scratch);
    q->scratch = NULL;
    nshm_close(&q->handle, 0);
}
#endif
