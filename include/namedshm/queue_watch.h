/* namedshm/queue_watch.h - waiting for a queue without sleeping here: a thread sleeps for many (nshm_watch_with), for event loops.
 *
 *     try; begin: nshm_queue_watch; sleep on the word while it has that value; try again; at last: nshm_queue_watched
 *
 * The watcher does phases 1 to 3 of every sleep (docs/format-queue.md), but for the pending word: a thread has one, and sleeps on many.
 * No wake-up is lost, because of this:
 *
 *   1. The word is armed, then looked at again: what was published before is seen; what is published after changes the word, or
 *      wakes who sleeps on it.  Between arming and sleeping the kernel compares.
 *   2. Arming takes STALE off, which another sleeper may rely on that has armed the word and does not sleep yet.  That is so for every
 *      sleeper, and allowed because who arms and finds something takes it and wakes the next.  Here the one who arms (the watcher) is
 *      not the one who takes, and who should take may have been cancelled.  So whoever began ends with nshm_queue_watched, however
 *      his wait ended: if there is something, one more is woken.
 *   3. A wake-up that came for one of several waits of this process is told to all of them, for the word has changed for all.
 *
 * What is left to the others' naps: a process that is killed between being woken and 2.
 *
 * Owns:   nothing.
 * Needs:  queue_wait.h, sync_types.h.
 */
#ifndef NAMEDSHM_PART_QUEUE_WATCH_H
#define NAMEDSHM_PART_QUEUE_WATCH_H
#include "queue_wait.h"
#include "sync_types.h"

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
/* Arm the word of whoever makes what is missing.  `since`: when that was done first after the last try; 0: now.  It becomes that. */
static inline void nshm_queue_watch(nshm_queue *q, int what, int64_t *since, nshm_watched *w) {
    nshm__effort e;
    nshm__queue_missing(q, what, &e);
    nshm__tid();
    w->word = e.word;
    w->ready = nshm__queue_arm(q, e.word, e.nothing, &w->value);
    if (!*since) *since = nshm_now();
    w->until = nshm__queue_until(q, &e) - nshm_now() + *since;
}
/* A wait that was begun has ended: if there is something, it is for the next one. */
static inline void nshm_queue_watched(nshm_queue *q, int what) {
    nshm_queue_head *h = q->head;
    nshm__tid();
    if (what == NSHM_AWAIT_MESSAGE && !nshm__queue_nothing(q)) nshm__queue_alert(&h->put.lock, 1);
    if ((what == NSHM_AWAIT_ROOM || what == NSHM_AWAIT_CHUNK_AND_ROOM) && !nshm__queue_full(q)) nshm__queue_alert(&h->get.lock, 1);
    if ((what == NSHM_AWAIT_CHUNK || what == NSHM_AWAIT_CHUNK_AND_ROOM) && !nshm__queue_dry(q)) nshm__queue_alert(&h->pool.lock, 1);
}
#endif
