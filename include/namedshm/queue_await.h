/* namedshm/queue_await.h - what a wait for a queue is for, for those who do not sleep themselves (queue_watch.h).
 *
 * Owns:   nothing.
 * Needs:  queue_wait.h.
 */
#ifndef NAMEDSHM_PART_QUEUE_AWAIT_H
#define NAMEDSHM_PART_QUEUE_AWAIT_H
#include "queue_wait.h"

enum { NSHM_AWAIT_MESSAGE, NSHM_AWAIT_ROOM, NSHM_AWAIT_CHUNK, NSHM_AWAIT_CHUNK_AND_ROOM };

static inline void nshm__queue_missing(nshm_queue *q, int what, nshm__effort *e) {
    memset(e, 0, sizeof *e);
    e->deadline = INT64_MAX;
    e->word = &q->head->get.lock;
    e->nothing = nshm__queue_full;
    if (what == NSHM_AWAIT_MESSAGE) {
        e->word = &q->head->put.lock;
        e->nothing = nshm__queue_nothing;
    } else if (what == NSHM_AWAIT_CHUNK || (what == NSHM_AWAIT_CHUNK_AND_ROOM && nshm__queue_dry(q))) {
        e->word = &q->head->pool.lock;
        e->nothing = nshm__queue_dry;
    }
}
/* A wait that was begun has ended: if there is something, it is for the next one. */
static inline void nshm_queue_watched(nshm_queue *q, int what) {
    nshm_queue_head *h = q->head;
    nshm__queue_introduce();
    if (what == NSHM_AWAIT_MESSAGE && !nshm__queue_nothing(q)) nshm__queue_alert(&h->put.lock, 1);
    if ((what == NSHM_AWAIT_ROOM || what == NSHM_AWAIT_CHUNK_AND_ROOM) && !nshm__queue_full(q)) nshm__queue_alert(&h->get.lock, 1);
    if ((what == NSHM_AWAIT_CHUNK || what == NSHM_AWAIT_CHUNK_AND_ROOM) && !nshm__queue_dry(q)) nshm__queue_alert(&h->pool.lock, 1);
}
#endif
