/* namedshm/topic_quick.h - one try that waits for nothing, for callers that hold a lock of their own: an interpreter's.
 *
 * -EAGAIN: not at once.  There is nothing, or no frame; or it would take joining, a look for the dead, or a wait for the writers' lock,
 * whose holder is not running.  Then the function of namedshm_topic.h is called, without that lock.  Other errors are what that would
 * say.
 *
 * Owns:   nothing of its own: the same tries, with a deadline that is over, and without what may take longer.
 * Needs:  topic_wait.h.
 */
#ifndef NAMEDSHM_PART_TOPIC_QUICK_H
#define NAMEDSHM_PART_TOPIC_QUICK_H
#include "topic_wait.h"

static inline int nshm__topic_at_once(const nshm_topic *t, uint32_t role) {
    if (nshm__peek(&t->forks, ACQUIRE) != nshm__peek(&nshm__forks, RELAXED) || !nshm__peek(&t->mine[role - 1], ACQUIRE)) return -EAGAIN;
    return nshm__topic_may_lock();
}
/* A value of inline_max bytes at most. */
static inline int nshm_topic_quick_publish(nshm_topic *t, const void *data, uint64_t length) {
    nshm_topic_window w;
    uint32_t wishes;
    int r = nshm__topic_at_once(t, NSHM_WRITER);
    w.frame = NSHM_TOPIC_NONE;
    if (r || (r = nshm__topic_publish(t, &w, data, length, NSHM__AT_ONCE, &wishes))) return r == -ETIMEDOUT ? -EAGAIN : r;
    nshm__topic_wake_some(t, w.number, wishes);
    return 0;
}
static inline int nshm_topic_quick_loan(nshm_topic *t, nshm_topic_window *w) {
    int r = nshm__topic_at_once(t, NSHM_WRITER), place;
    w->frame = NSHM_TOPIC_NONE;
    w->holder = 0;
    if (r || !t->frames) return r ? r : -EINVAL;
    if ((place = nshm__topic_use(t, NSHM_WRITER)) < 0) return -EAGAIN;
    w->holder = nshm__peek(&t->id[NSHM_WRITER - 1][place], RELAXED);
    if ((w->frame = nshm__topic_borrow(t, w->holder)) == NSHM_TOPIC_NONE) {
        w->holder = 0;
        nshm__topic_unuse(t, NSHM_WRITER, (uint32_t)place);
        return -EAGAIN;
    }
    w->data = nshm__topic_at(t, w->frame);
    w->length = t->value_max;
    return 0;
}
/* Where a value lies, to be read and then believed if nshm_topic_valid says so; as nshm_topic_latest or, with `oldest`, _next. */
static inline int nshm_topic_quick_find(const nshm_topic *t, uint64_t after, int oldest, nshm_topic_window *w) {
    nshm__wish how = {oldest, NULL, 0, 0};
    return nshm__topic_get(t, after, &how, w);
}
static inline int nshm_topic_quick_pin(nshm_topic *t, uint64_t after, int oldest, void *buffer, uint64_t room, nshm_topic_window *w) {
    nshm__wish how = {oldest, buffer, room, 0};
    int r = nshm__topic_at_once(t, NSHM_PINNER), place;
    w->holder = 0;
    w->frame = NSHM_TOPIC_NONE;
    if (r || (place = nshm__topic_use(t, NSHM_PINNER)) < 0) return r ? r : -EAGAIN;
    how.bit = nshm__place_bit((uint32_t)place);
    r = nshm__topic_get(t, after, &how, w);
    if (!r && w->frame != NSHM_TOPIC_NONE) w->holder = nshm__peek(&t->id[NSHM_PINNER - 1][place], RELAXED);
    else nshm__topic_unuse(t, NSHM_PINNER, (uint32_t)place);
    return r;
}
/* Is what the window shows still this handle's, in this process?  A forked child has its parent's windows, and not what they show. */
static inline int nshm_topic_is_mine(const nshm_topic *t, const nshm_topic_window *w, uint32_t role) {
    return w->frame < t->frames && nshm__topic_signed(t, role, w->holder) >= 0;
}
/* A reader that its threads share: it has read that value now.  `missed`: how many were between those it has read. */
static inline void nshm_topic_seen(uint64_t *position, uint64_t *missed, uint64_t number) {
    uint64_t before = nshm__peek(position, RELAXED);
    while (number > before)
        if (nshm__trade(position, &before, number, RELAXED)) {
            __atomic_fetch_add(missed, number - before - 1, __ATOMIC_RELAXED);
            return;
        }
}
#endif
