/* namedshm/topic_wait.h - waiting for a value, and for a frame.
 *
 * A sleeper reads `latest`, raises `wishes`, and sleeps if `latest` is still what it was.  A writer reads `wishes`, changes
 * `latest`, and looks at `wishes` again: if they are as many as are known to be served, it makes no system call.  Full barriers on
 * both sides: one of them sees the other.  If a wake-up finds nobody, all wishes that the writer had read before are served: who
 * raised them saw an older value, so he does not sleep on this one.  (Those that it read afterwards are not: a reader that is quick
 * has seen the new value, and lies down on it between the writer's change and its vain wake-up.)
 *
 * A writer wakes a few, each of them wakes two more, so what a value costs its writer does not grow with the number of readers.
 * Who was woken for a change passes it on, whether he has what he waits for or not: a wake-up is for others as well.  Sleepers lie
 * there with a bit of the number they saw: so a wake-up that is passed on does not go to those who have seen the value already.
 *
 * `wishes` lies in the token, which every reader may write, and no writer believes: what can be done to it, or by moving sleepers
 * elsewhere (a futex needs no right to write), costs a system call or a nap.
 *
 * Owns:   nothing.
 * Needs:  topic_join.h.
 */
#ifndef NAMEDSHM_PART_TOPIC_WAIT_H
#define NAMEDSHM_PART_TOPIC_WAIT_H
#include "topic_join.h"

static inline uint32_t nshm__topic_bit(uint64_t number) { return 1u << (number & 31); }

/* After publishing a value of that number.  `before`: the wishes, as read before `latest` changed. */
static inline void nshm__topic_wake_some(const nshm_topic *t, uint64_t number, uint32_t before) {
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (nshm__peek(t->wishes, RELAXED) == nshm__peek(&t->head->served, RELAXED)) return;
    NSHM_STEP("waking");
    /* Not those who have the new value already; unless there is nobody else, for a number that is 32 older has the same bit. */
    if (nshm__topic_wake(t, NSHM_TOPIC_WAKES, ~nshm__topic_bit(number)) <= 0 && nshm__topic_wake(t, NSHM_TOPIC_WAKES, NSHM__EVERYBODY) <= 0)
        nshm__poke(&t->head->served, before, RELAXED);
    NSHM_STEP("woke");
}

/* ------------------------------------------------------------------------------------------------ when it is over
 * Have there been writers, and are all of them gone?  Asks the kernel. */
static inline int nshm__topic_abandoned(const nshm_topic *t) {
    if (!(t->mode & NSHM_TOPIC_ENDS) || !nshm__peek(&t->head->had_writer, RELAXED) || !nshm__topic_may_tell(t)) return 0;
    for (uint32_t i = t->pins; i < t->pins + t->writers; i++)
        if (nshm__peek(&t->places[i].word, ACQUIRE) && nshm__topic_lives(t, &t->places[i])) return 0;
    return 1;
}
/* 1: there is a value newer than `after`; 0: there is none; -EPIPE: and there will be none. */
static inline int nshm__topic_news(const nshm_topic *t, uint64_t after) {
    uint64_t word = nshm__peek(&t->head->latest, ACQUIRE);
    return word >> 1 > after ? 1 : word & 1 ? -EPIPE : 0;
}
/* The same, looking for the writers as well; what the gone have left is read first. */
static inline int nshm__topic_outlook(const nshm_topic *t, uint64_t after) {
    int r = nshm__topic_news(t, after);
    return r || !nshm__topic_abandoned(t) ? r : (r = nshm__topic_news(t, after)) ? r : -EPIPE;
}

/* ------------------------------------------------------------------------------------------------ waiting for a value */
static inline int nshm__topic_spin(const nshm_topic *t, uint64_t after, int64_t deadline) {
    int64_t spin = nshm__peek(&t->spin, RELAXED), end = nshm_now();
    int r;
    if (spin <= 0) return 0;
    end = deadline - end < spin ? deadline : end + spin;
    do {
        for (int i = 0; i < 64; i++) {
            if ((r = nshm__topic_news(t, after))) return r;
            nshm__pause();
        }
    } while (nshm_now() < end);
    return 0;
}
/* Once.  As nshm__topic_news; or -EINTR, -ETIMEDOUT (of a nap), -EUCLEAN. */
static inline int nshm__topic_doze(const nshm_topic *t, uint64_t after, int64_t until) {
    NSHM_STEP("falling asleep");
    uint64_t word = nshm__peek(&t->head->latest, ACQUIRE), now;
    if (word >> 1 > after) return 1;
    if (word & 1) return -EPIPE;
    __atomic_fetch_add(t->wishes, 1, __ATOMIC_SEQ_CST);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    NSHM_STEP("wished");
    if (nshm__peek(&t->head->latest, ACQUIRE) != word) return nshm__topic_news(t, after);
    NSHM_STEP("sleeping");
    int r = nshm__topic_sleep(t, word, until, nshm__topic_bit(word >> 1));
    now = nshm__peek(&t->head->latest, ACQUIRE);
    if (r == 1 && now >> 1 != word >> 1) {
        NSHM_STEP("woken");
        /* Those who sleep with us saw what we saw.  If the new number has the same bit, all are woken that come first. */
        uint32_t seen = nshm__topic_bit(now >> 1), others = seen == nshm__topic_bit(word >> 1) ? NSHM__EVERYBODY : ~seen;
        nshm__topic_wake(t, NSHM_TOPIC_PASSES, others);
        NSHM_STEP("passed on");
    }
    return r < 0 && now >> 1 <= after ? r : nshm__topic_news(t, after);
}
/* 1: there is one; -EAGAIN without a deadline, -ETIMEDOUT, -EINTR, -EPIPE. */
static inline int nshm__topic_await(const nshm_topic *t, uint64_t after, int64_t deadline) {
    int r = nshm__topic_outlook(t, after);
    if (r) return r;
    if (!deadline) return -EAGAIN;
    if ((r = nshm__topic_spin(t, after, deadline))) return r;
    for (;;) {
        int64_t until = nshm_now() + NSHM_TOPIC_NAP;
        r = nshm__topic_doze(t, after, deadline < until ? deadline : until);
        if (r > 0 || r == -EINTR || r == -EPIPE || r == -EUCLEAN) return r;
        if ((r = nshm__topic_outlook(t, after))) return r;
        if (deadline != INT64_MAX && nshm_now() >= deadline) return -ETIMEDOUT;
    }
}
/* After a try in vain. */
static __attribute__((noinline, unused)) int nshm__topic_read_slowly(const nshm_topic *t, uint64_t after, const nshm__wish *how,
                                                                     nshm_topic_window *w, int64_t deadline) {
    int r;
    for (int vain = 0;; vain++) {
        if ((r = nshm__topic_await(t, after, deadline)) < 0 || (r = nshm__topic_get(t, after, how, w)) != -EAGAIN) return r;
        if (deadline != INT64_MAX && nshm_now() >= deadline) return deadline ? -ETIMEDOUT : -EAGAIN;
        /* It says that there is something, and there is not: somebody writes over the topic. */
        if (vain > 1000 && (r = nshm__topic_rest(50000))) return r;
    }
}
static inline int nshm__topic_read(const nshm_topic *t, uint64_t after, const nshm__wish *how, nshm_topic_window *w, int64_t deadline) {
    int r = nshm__topic_get(t, after, how, w);
    return r == -EAGAIN ? nshm__topic_read_slowly(t, after, how, w, deadline) : r;
}

/* ------------------------------------------------------------------------------------------------ waiting for a frame
 * There is one, but for two cases: all places of this handle are in use by its threads; or others have died and the kernel does not
 * say so yet.  Both are a matter of the others' pace, and nobody tells us: so we look again and again. */
static inline int nshm__topic_try_loan(nshm_topic *t, nshm_topic_window *w) {
    int r = nshm__topic_ready(t, NSHM_WRITER), place;
    if (r) return r;
    if ((place = nshm__topic_use(t, NSHM_WRITER)) < 0) {
        r = nshm__topic_join_more(t, NSHM_WRITER);
        if (r) return r == -ENFILE ? -EAGAIN : r; /* one of ours will do */
        if ((place = nshm__topic_use(t, NSHM_WRITER)) < 0) return -EAGAIN;
    }
    w->holder = nshm__peek(&t->id[NSHM_WRITER - 1][place], RELAXED);
    w->frame = nshm__topic_borrow(t, w->holder);
    if (w->frame == NSHM_TOPIC_NONE && (r = nshm__topic_sweep(t)) >= 0) w->frame = nshm__topic_borrow(t, w->holder);
    if (w->frame == NSHM_TOPIC_NONE) {
        w->holder = 0;
        nshm__topic_unuse(t, NSHM_WRITER, (uint32_t)place);
        return r < 0 ? r : -EAGAIN;
    }
    w->data = nshm__topic_at(t, w->frame);
    w->length = t->value_max;
    return 0;
}
static inline int nshm__topic_loan(nshm_topic *t, nshm_topic_window *w, int64_t deadline) {
    int64_t nap = 20000;
    int r;
    while ((r = nshm__topic_try_loan(t, w)) == -EAGAIN) {
        if (!deadline) return r;
        if (deadline != INT64_MAX && nshm_now() >= deadline) return -ETIMEDOUT;
        if ((r = nshm__topic_rest(nap))) return r;
        if (nap < 1000000) nap *= 2;
    }
    return r;
}
#endif
