/* namedshm/queue_quick.h - one try that waits for nothing, for callers that hold a lock of their own: an interpreter's.
 *
 * -EAGAIN: not at once.  There is nothing, or no room; or it would take joining, a look for the dead, or a wait for an end's lock, whose
 * holder is not running.  Then the function of namedshm_queue.h is called, without that lock.  Other errors are what that would say.
 *
 * Owns:   nothing of its own: the same tries, with a deadline that is over, and without what may take longer.
 * Needs:  queue_wait.h.
 */
#ifndef NAMEDSHM_PART_QUEUE_QUICK_H
#define NAMEDSHM_PART_QUEUE_QUICK_H
#include "queue_wait.h"

static inline int nshm__queue_at_once(nshm_queue *q, uint32_t role) {
    if (nshm__peek(&q->forks, ACQUIRE) != nshm__peek(&nshm__forks, RELAXED) || !(nshm__peek(&q->roles, ACQUIRE) & role)) return -EAGAIN;
    return nshm__queue_ready(q, role);
}
static inline int nshm__queue_not_now(int r) { return r == -ETIMEDOUT ? -EAGAIN : r; }

/* The longest message that lies in a slot, in bytes; -1: none does. */
static inline int64_t nshm_queue_slot_max(const nshm_queue *q) {
    if (q->mode & NSHM_QUEUE_ACK) return -1;
    return (int64_t)(q->inline_max < q->message_max ? q->inline_max : q->message_max);
}
/* n messages, none longer than that: how many were put. */
static inline int nshm_queue_quick_put(nshm_queue *q, const void *const *data, const uint64_t *lengths, int n) {
    int r = nshm__queue_at_once(q, NSHM_PRODUCER);
    return r ? r : nshm__queue_not_now(nshm__queue_try_inline(q, data, lengths, n, NSHM__AT_ONCE));
}
static inline int nshm_queue_quick_loan(nshm_queue *q, nshm_queue_window *w) {
    int r = nshm__queue_at_once(q, NSHM_PRODUCER);
    w->chunk = NSHM_QUEUE_NONE;
    if (r || (r = nshm__queue_try_loan(q, &w->chunk))) return r;
    w->data = q->data + w->chunk * q->chunk_size;
    w->length = q->message_max;
    return 0;
}
/* Is what the window shows still this handle's, in this process?  A forked child has its parent's windows, and not what they show. */
static inline int nshm_queue_is_mine(const nshm_queue *q, const nshm_queue_window *w, uint32_t role) {
    return nshm__peek(&q->forks, ACQUIRE) == nshm__peek(&nshm__forks, RELAXED) && w->chunk < q->chunks &&
           nshm__peek(&q->chunk[w->chunk].owner, RELAXED) == (q->id | role);
}
static inline int nshm_queue_quick_commit(nshm_queue *q, nshm_queue_window *w, uint64_t length) {
    int r = nshm__queue_at_once(q, NSHM_PRODUCER);
    if (r || !nshm_queue_is_mine(q, w, NSHM_PRODUCER) || length > q->message_max) return r ? r : -EAGAIN;
    if (!(r = nshm__queue_not_now(nshm__queue_try_chunk(q, w->chunk, length, NSHM__AT_ONCE)))) w->chunk = NSHM_QUEUE_NONE;
    return r;
}
/* How long the next message is, if it lies in a slot; else -1.  Another consumer may take it meanwhile. */
static inline int64_t nshm_queue_next_length(const nshm_queue *q) {
    uint64_t t = nshm__peek(&q->head->get.cursor, ACQUIRE), header = nshm__peek(nshm__queue_slot(q, t), ACQUIRE);
    if (!nshm__queue_published(header, t) || (header & NSHM__IN_CHUNK) || (uint32_t)header > q->inline_max) return -1;
    return (uint32_t)header;
}
static inline int nshm_queue_quick_take(nshm_queue *q, void *buffer, uint64_t room, nshm_queue_window *w, int n) {
    int r = nshm__queue_at_once(q, NSHM_CONSUMER);
    if (r) return r;
    if (nshm__queue_shut(q) & NSHM_QUEUE_STOP) return -EPIPE;
    if ((q->mode & NSHM_QUEUE_ACK) && (nshm__peek(&q->head->returned, ACQUIRE) || /* see nshm__queue_again */
                                       nshm_now() - nshm__peek(&q->swept, RELAXED) >= NSHM_QUEUE_GLANCE / 2))
        return -EAGAIN;
    return nshm__queue_not_now(nshm__queue_take_some(q, buffer, room, w, n, NSHM__AT_ONCE));
}
/* Looks for about half a microsecond, which is less than it takes to give an interpreter's lock away and get it back: 1, there is
 * something, perhaps. */
static inline int nshm_queue_quick_look(nshm_queue *q) {
    for (int k = 0; k < 80; k++) {
        if (!nshm__queue_nothing(q)) return 1;
        if (k > 16) nshm__pause();
    }
    return 0;
}
/* A message that was taken is given back, or a loan. */
static inline int nshm_queue_quick_release(nshm_queue *q, nshm_queue_window *w, uint32_t role) {
    int r = nshm__queue_at_once(q, role);
    if (r || w->chunk >= q->chunks) return r ? r : -EAGAIN;
    if (!(r = nshm__queue_not_now(nshm__queue_give_by(q, w->chunk, role, 0, NSHM__AT_ONCE)))) w->chunk = NSHM_QUEUE_NONE;
    return r;
}
#endif
