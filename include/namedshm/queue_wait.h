/* namedshm/queue_wait.h - waiting for a message, for room, or for a chunk.
 *
 * One pattern for all three: try; try for a while; then sleep on the word of whoever makes what is missing, and try again.
 *
 * Owns:   a wake-up is for somebody, not for one who dies.  Who has slept, or was about to, keeps the word pending until it has
 *         taken something; then, or when it gives up, it wakes the next if there is more.
 * Needs:  queue_join.h.
 */
#ifndef NAMEDSHM_PART_QUEUE_WAIT_H
#define NAMEDSHM_PART_QUEUE_WAIT_H
#include "queue_join.h"

/* What is waited for: `attempt` does it, or says -EAGAIN; `nothing` looks whether it would. */
typedef struct nshm__effort {
    int (*attempt)(nshm_queue *q, struct nshm__effort *e);
    int (*nothing)(nshm_queue *q);
    uint32_t *word;
    int64_t deadline;
    /* putting */
    const void *const *from;
    const uint64_t *lengths;
    /* taking */
    void *buffer;
    uint64_t room;
    nshm_queue_window *window;
    int n;
    uint32_t chunk; /* to be put, or borrowed */
} nshm__effort;

/* ------------------------------------------------------------------------------------------------ when it is over */
static inline int nshm__queue_shut(const nshm_queue *q) { return (int)nshm__peek(&q->head->shut, ACQUIRE); }
/* Have there been producers, and are all of them gone?  Asks the kernel. */
static inline int nshm__queue_abandoned(nshm_queue *q) {
    if (!(q->mode & NSHM_QUEUE_ENDS) || !nshm__peek(&q->head->had_producer, RELAXED) || !nshm__queue_may_tell(q)) return 0;
    for (uint32_t i = 0; i < q->participants; i++)
        if ((nshm__peek(&q->entries[i].word, ACQUIRE) & NSHM_PRODUCER) && (i == q->entry || nshm__queue_lives(q, &q->entries[i]))) return 0;
    return 1;
}

/* ------------------------------------------------------------------------------------------------ one try, without any waiting */
static inline int nshm__queue_try_inline(nshm_queue *q, const void *const *from, const uint64_t *lengths, int n, int64_t deadline) {
    return nshm__queue_shut(q) ? -EPIPE : nshm__queue_put_inline(q, from, lengths, n, deadline);
}
static inline int nshm__queue_try_chunk(nshm_queue *q, uint32_t chunk, uint64_t length, int64_t deadline) {
    return nshm__queue_shut(q) ? -EPIPE : nshm__queue_put_chunk(q, chunk, length, deadline);
}
static inline int nshm__queue_try_take(nshm_queue *q, void *buffer, uint64_t room, nshm_queue_window *w, int n, int64_t deadline) {
    int r;
    if (nshm__queue_shut(q) & NSHM_QUEUE_STOP) return -EPIPE;
    if ((q->mode & NSHM_QUEUE_ACK) && (r = nshm__queue_again(q, w))) return r;
    return nshm__queue_take_some(q, buffer, room, w, n, deadline);
}
static inline int nshm__queue_lent(nshm_queue *q, uint32_t chunk) { /* a chunk of ours gets memory; or it is not ours any more */
    int r = nshm__queue_back(q, chunk);
    if (r) nshm__queue_give(q, chunk, NSHM_PRODUCER, 0);
    return r;
}
static inline int nshm__queue_try_loan(nshm_queue *q, uint32_t *chunk) {
    if (nshm__queue_shut(q)) return -EPIPE;
    return (*chunk = nshm__queue_borrow(q)) != NSHM_QUEUE_NONE ? nshm__queue_lent(q, *chunk) : -EAGAIN;
}

/* ------------------------------------------------------------------------------------------------ attempts */
static inline int nshm__queue_nothing(nshm_queue *q) { /* to take */
    return nshm__queue_empty(q) && !((q->mode & NSHM_QUEUE_ACK) && nshm__peek(&q->head->returned, ACQUIRE));
}
/* What we wait for is still not there: the oldest message goes.  0, also if there was none; or an error. */
static inline int nshm__queue_drop(nshm_queue *q, nshm__effort *e) {
    nshm_queue_end *end = &q->head->get;
    nshm_queue_window w;
    int r = nshm__queue_lock(&end->lock, e->deadline), any = 0;
    if (r) return r;
    uint64_t t = nshm__peek(&end->cursor, RELAXED);
    if (e->nothing(q) && !(r = nshm__queue_next(q, t, &w))) {
        __atomic_fetch_add(&q->head->dropped, 1, __ATOMIC_RELAXED);
        nshm__queue_advance(q, t + 1, w.length);
        any = w.chunk != NSHM_QUEUE_NONE;
    }
    nshm__queue_unlock(&end->lock, 1);
    if (any) return nshm__queue_give(q, w.chunk, NSHM_CONSUMER, 0);
    return r == -EAGAIN ? 0 : r;
}
static inline int nshm__queue_put_attempt(nshm_queue *q, nshm__effort *e) {
    int r;
    for (int tries = 0;; tries++) {
        if (e->chunk != NSHM_QUEUE_NONE) r = nshm__queue_try_chunk(q, e->chunk, e->lengths[0], e->deadline);
        else r = nshm__queue_try_inline(q, e->from, e->lengths, e->n, e->deadline);
        if (r != -EAGAIN || !(q->mode & NSHM_QUEUE_DROP_OLDEST) || tries > 1000) return r; /* others fill it as quickly as we drop */
        if ((r = nshm__queue_drop(q, e))) return r;
    }
}
static inline int nshm__queue_take_attempt(nshm_queue *q, nshm__effort *e) {
    return nshm__queue_try_take(q, e->buffer, e->room, e->window, e->n, e->deadline);
}
static inline int nshm__queue_loan_attempt(nshm_queue *q, nshm__effort *e) {
    int r = nshm__queue_try_loan(q, &e->chunk);
    if (r != -EAGAIN) return r;
    if ((r = nshm__queue_sweep_after(q, NSHM_QUEUE_GLANCE / 2)) < 0) return r;
    for (uint32_t i = 0; (q->mode & NSHM_QUEUE_DROP_OLDEST) && i < q->capacity && nshm__queue_dry(q) && !nshm__queue_empty(q); i++)
        if ((r = nshm__queue_drop(q, e))) return r; /* those that lie in slots go as well, until one is found in a chunk */
    return (e->chunk = nshm__queue_borrow(q)) != NSHM_QUEUE_NONE ? nshm__queue_lent(q, e->chunk) : -EAGAIN;
}

/* ------------------------------------------------------------------------------------------------ waiting */
/* There was nothing: is it over?  0, or -EPIPE; or what was there after all, for what the gone have left is taken first. */
static inline int nshm__queue_over(nshm_queue *q, nshm__effort *e) {
    int taking = e->word == &q->head->put.lock, r;
    if (taking ? !nshm__queue_shut(q) && !nshm__queue_abandoned(q) : !nshm__queue_shut(q)) return 0;
    return (r = e->attempt(q, e)) == -EAGAIN ? -EPIPE : r;
}
static inline int64_t nshm__queue_until(nshm_queue *q, const nshm__effort *e) {
    int glance = (q->mode & NSHM_QUEUE_ACK) && e->word == &q->head->put.lock && nshm__queue_held(q);
    int64_t until = nshm_now() + (glance ? NSHM_QUEUE_GLANCE : NSHM_QUEUE_NAP);
    return e->deadline < until ? e->deadline : until;
}
static inline int nshm__queue_spin(nshm_queue *q, nshm__effort *e) {
    int64_t spin = nshm__peek(&q->spin, RELAXED), end = nshm_now();
    int r;
    if (spin <= 0) return -EAGAIN;
    end = e->deadline - end < spin ? e->deadline : end + spin;
    do {
        for (int i = 0; i < 64; i++) {
            if (!e->nothing(q) && (r = e->attempt(q, e)) != -EAGAIN) return r;
            nshm__pause();
        }
    } while (nshm_now() < end);
    return -EAGAIN;
}
/* After a sleep, and an attempt in vain: 0: go on; else what the wait ends with.  `vain`: how often in a row that was so. */
static inline int nshm__queue_give_in(nshm_queue *q, nshm__effort *e, int slept, int vain) {
    int r;
    if (slept == -EINTR || slept == -EUCLEAN) return slept;
    if (slept && (r = nshm__queue_over(q, e))) return r;
    if (e->deadline != INT64_MAX && nshm_now() >= e->deadline) return -ETIMEDOUT;
    /* It says that there is something, and there is not: somebody writes over the queue. */
    return vain > 1000 && nshm__queue_nap(50000) ? -EINTR : 0;
}
/* After an attempt that said -EAGAIN.  What a later one says; or -EAGAIN without a deadline, -ETIMEDOUT, -EINTR, -EPIPE. */
static __attribute__((noinline, unused)) int nshm__queue_wait(nshm_queue *q, nshm__effort *e) {
    int r, slept = 0;
    if ((r = nshm__queue_over(q, e))) return r;
    if (!e->deadline) return -EAGAIN;
    if ((r = nshm__queue_spin(q, e)) != -EAGAIN) return r;
    for (int vain = 0;; vain++) {
        slept = nshm__queue_sleep(q, e->word, e->nothing, nshm__queue_until(q, e));
        if ((r = e->attempt(q, e)) != -EAGAIN || (r = nshm__queue_give_in(q, e, slept, vain))) break;
        if (slept < 0) vain = 0;
    }
    nshm__queue_answerable(q, e->word);
    if (!e->nothing(q)) nshm__queue_alert(e->word, 1); /* for the next one */
    NSHM_STEP("passed on");
    nshm__queue_answered(q, e->word, r);
    return r;
}

/* ------------------------------------------------------------------------------------------------ after a try in vain
 * What the fast paths in namedshm_queue.h do not keep at hand. */
static inline int nshm__queue_persist(nshm_queue *q, nshm__effort *e) {
    int r = e->attempt(q, e);
    return r == -EAGAIN ? nshm__queue_wait(q, e) : r;
}
/* Messages that fit into slots, or one in a chunk. */
static __attribute__((noinline, unused)) int nshm__queue_put_slowly(nshm_queue *q, const void *const *from, const uint64_t *lengths, int n,
                                                                    uint32_t chunk, int64_t deadline) {
    nshm__effort e;
    memset(&e, 0, sizeof e);
    e.attempt = nshm__queue_put_attempt;
    e.nothing = nshm__queue_full;
    e.word = &q->head->get.lock;
    e.deadline = deadline;
    e.from = from;
    e.lengths = lengths;
    e.n = n;
    e.chunk = chunk;
    return nshm__queue_persist(q, &e);
}
static __attribute__((noinline, unused)) int nshm__queue_take_slowly(nshm_queue *q, void *buffer, uint64_t room, nshm_queue_window *w, int n,
                                                                     int64_t deadline) {
    nshm__effort e;
    memset(&e, 0, sizeof e);
    e.attempt = nshm__queue_take_attempt;
    e.nothing = nshm__queue_nothing;
    e.word = &q->head->put.lock;
    e.deadline = deadline;
    e.buffer = buffer;
    e.room = room;
    e.window = w;
    e.n = n;
    return nshm__queue_wait(q, &e);
}
static __attribute__((noinline, unused)) int nshm__queue_loan_slowly(nshm_queue *q, uint32_t *chunk, int64_t deadline) {
    nshm__effort e;
    int r;
    memset(&e, 0, sizeof e);
    e.attempt = nshm__queue_loan_attempt;
    e.nothing = nshm__queue_dry;
    e.word = &q->head->pool.lock;
    e.deadline = deadline;
    r = nshm__queue_persist(q, &e);
    *chunk = e.chunk;
    return r;
}
#endif
