/* namedshm/queue_watch.h - waiting for a queue without sleeping here: a thread sleeps for many (nshm_watch_with), on Linux.
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
 * Needs:  queue_await.h, sync_types.h.
 */
#ifndef NAMEDSHM_PART_QUEUE_WATCH_H
#define NAMEDSHM_PART_QUEUE_WATCH_H
#include "queue_await.h"
#include "sync_types.h"

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
#endif
