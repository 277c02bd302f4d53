/* namedshm/queue_make.h - making, opening and closing a queue: on Linux.
 *
 * Owns:   a queue is formatted before its name exists.
 * Needs:  handles.h, queue_format.h.
 */
#ifndef NAMEDSHM_PART_QUEUE_MAKE_H
#define NAMEDSHM_PART_QUEUE_MAKE_H
#include "handles.h"
#include "queue_format.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

static inline int nshm__queue_fill(nshm_handle *h, void *context) { /* an nshm_filler */
    const nshm_queue_start *start = (const nshm_queue_start *)context;
    nshm_queue_offsets o;
    int r = nshm__queue_layout(start, &o);
    if (!r) nshm__queue_format(h->data, start, &o);
    return r;
}

/* What every operation touches has its pages before one needs them under a lock; those of chunks come as they are used.  A kernel
 * before 5.14 cannot do it: then they come at first use. */
static inline int nshm__queue_populate(const nshm_queue *q) {
    uint64_t n = (uint64_t)(q->slots - (char *)q->head) + (uint64_t)q->capacity * q->stride;
    while (madvise(q->head, nshm_page_round(n), MADV_POPULATE_WRITE))
        if (errno != EINTR && errno != EAGAIN) return errno == ENOMEM || errno == EFAULT ? -ENOMEM : 0;
    return 0;
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
