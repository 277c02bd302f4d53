/* namedshm/queue_watch_windows.h - waiting for a queue without sleeping here: a thread sleeps for many, on Windows.
 *
 *     try; nshm_queue_watch; sleep on the bell, then nshm_queue_rung at once; try again; at last: nshm_queue_watched
 *
 * No wake-up is lost, for this is what every sleeper does (queue_lock_windows.h): SLEEPERS is set before looking again, and the bell stays
 * set until somebody takes it.  A bell that was taken for a wait that ends otherwise is rung again, and who has waited wakes the next
 * if there is something.
 *
 * Owns:   nothing.
 * Needs:  queue_await.h.
 */
#ifndef NAMEDSHM_PART_QUEUE_WATCH_WINDOWS_H
#define NAMEDSHM_PART_QUEUE_WATCH_WINDOWS_H
#include "queue_await.h"

/* Before sleeping on *bell, until *until at most.  1: there is something already, or it is over. */
static inline int nshm_queue_watch(nshm_queue *q, int what, HANDLE *bell, int64_t *until) {
    nshm__effort e;
    nshm__queue_missing(q, what, &e);
    *bell = nshm__queue_bell(e.word);
    *until = nshm__queue_until(q, &e);
    __atomic_fetch_or(nshm__word_of(e.word), NSHM__SLEEPERS, __ATOMIC_SEQ_CST);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return !e.nothing(q) || nshm__queue_shut(q);
}
/* The bell was taken: others may sleep. */
static inline void nshm_queue_rung(nshm_queue *q, HANDLE bell) {
    nshm_queue_end *end = bell == q->handle.bell[0] ? &q->head->put : bell == q->handle.bell[1] ? &q->head->get : &q->head->pool;
    __atomic_fetch_or(nshm__word_of(&end->lock), NSHM__SLEEPERS, __ATOMIC_SEQ_CST);
}
/* A wait that was begun has ended: see nshm_queue_watched; and nshm__queue_answered, of the end. */
static inline void nshm_queue_ended(nshm_queue *q, int what) {
    nshm_queue_watched(q, what);
    for (int i = 0; i < 3 && nshm__queue_shut(q); i++) nshm__queue_ring(q->handle.bell[i], 1);
}
#endif
