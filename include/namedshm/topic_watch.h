/* namedshm/topic_watch.h - waiting for a value without sleeping here: a thread sleeps for many (nshm_watch_with), for event loops.
 *
 *     try; begin: nshm_topic_watch; sleep on the word while it has that value; at last, or before the next try: nshm_topic_watched
 *
 * The watcher does what every sleeper does (topic_wait.h): it reads `latest`, raises `wishes`, looks at `latest` again and sleeps while it
 * is the same.  Who is woken passes it on, whether he has what he waits for or not; here that is done by the one whose wait it was, and also
 * if that was cancelled meanwhile.  It sleeps without a bit, so wake-ups for any number reach it.
 *
 * What is left to the others' naps: a process that is killed between being woken and passing it on.
 *
 * Owns:   nothing.
 * Needs:  topic_wait.h, sync_types.h.
 */
#ifndef NAMEDSHM_PART_TOPIC_WATCH_H
#define NAMEDSHM_PART_TOPIC_WATCH_H
#include "topic_wait.h"
#include "sync_types.h"

/* Arm the word.  *word: what it was, for nshm_topic_watched. */
static inline void nshm_topic_watch(nshm_topic *t, uint64_t after, uint64_t *word, nshm_watched *w) {
    *word = nshm__peek(&t->head->latest, ACQUIRE);
    w->word = nshm__topic_bed(t);
    w->value = (uint32_t)*word;
    w->until = nshm_now() + NSHM_TOPIC_NAP;
    w->ready = *word >> 1 > after || (*word & 1);
    if (w->ready) return;
    __atomic_fetch_add(t->wishes, 1, __ATOMIC_SEQ_CST);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    w->ready = nshm__peek(&t->head->latest, ACQUIRE) != *word;
}
/* It is not watched any more: if there is another value, others are woken as well. */
static inline void nshm_topic_watched(const nshm_topic *t, uint64_t word) {
    uint64_t now = nshm__peek(&t->head->latest, ACQUIRE);
    if (now >> 1 == word >> 1) return;
    uint32_t seen = nshm__topic_bit(now >> 1), others = seen == nshm__topic_bit(word >> 1) ? NSHM__EVERYBODY : ~seen;
    nshm__topic_wake(t, NSHM_TOPIC_PASSES, others);
}
#endif
