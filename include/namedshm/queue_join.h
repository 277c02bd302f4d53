/* namedshm/queue_join.h - taking part, and leaving.
 *
 * A handle takes part from its first put or take on, or since it said so; who only looks does not.  A handle that a forked child inherits
 * takes no part: it joins anew at its first use, as another participant.  What its parent held is the parent's.
 *
 * Owns:   the table's entries: changed under the get lock.  An entry's fields are there before its word (release).
 *         Which entry is ours (nshm_queue.forks, id, entry, roles) is written under that lock as well; it is read without it, `forks`
 *         first: who sees a child's number sees that its parent's roles are gone.
 * Needs:  queue_sweep.h.
 */
#ifndef NAMEDSHM_PART_QUEUE_JOIN_H
#define NAMEDSHM_PART_QUEUE_JOIN_H
#include "queue_sweep.h"

/* Under the get lock: write our entry.  -ENFILE: the table is full. */
static inline int nshm__queue_enter(nshm_queue *q, uint32_t roles) {
    nshm_queue_head *h = q->head;
    for (uint32_t i = 0; i < q->participants; i++) {
        nshm_queue_entry *e = &q->entries[i];
        if (nshm__peek(&e->word, ACQUIRE)) continue;
        uint32_t generation = nshm__peek(&h->generation, RELAXED) + 1;
        if (!generation) generation = 1;
        nshm__poke(&h->generation, generation, RELAXED);
        nshm__life_enter(q, e);
        NSHM_STEP("joining");
        nshm__poke(&e->word, (uint64_t)generation << 8 | roles, RELEASE);
        NSHM_STEP("joined");
        q->entry = i;
        q->id = (uint64_t)generation << 32 | (uint64_t)i << 8;
        return 0;
    }
    return -ENFILE;
}
/* Under the get lock: take part with these roles as well. */
static inline int nshm__queue_join_locked(nshm_queue *q, uint32_t roles, nshm__life **life) {
    uint32_t forks = nshm__peek(&nshm__forks, ACQUIRE), had = nshm__peek(&q->roles, RELAXED);
    int r = 0;
    if (nshm__peek(&q->forks, RELAXED) != forks) { /* what we inherited is the parent's */
        had = 0;
        q->life = NULL;
        nshm__poke(&q->sweeping, 0, RELAXED);
        nshm__poke(&q->roles, 0, RELEASE);
        nshm__poke(&q->forks, forks, RELEASE);
    }
    if (!had) {
        q->life = *life;
        *life = NULL;
        if ((r = nshm__queue_enter(q, roles))) {
            *life = q->life;
            q->life = NULL;
            q->entry = NSHM_QUEUE_NONE;
            return r;
        }
    } else nshm__poke(&q->entries[q->entry].word, q->id >> 32 << 8 | had | roles, RELEASE);
    if (roles & NSHM_PRODUCER) nshm__poke(&q->head->had_producer, 1, RELAXED);
    nshm__poke(&q->roles, had | roles, RELEASE);
    return 0;
}
static inline int nshm_queue_join(nshm_queue *q, uint32_t roles) {
    nshm__life *life;
    int r, swept = 0;
    if (!roles || roles & ~(uint32_t)(NSHM_PRODUCER | NSHM_CONSUMER)) return -EINVAL;
    if (q->handle.readonly) return -EACCES;
    if ((r = nshm__queue_able())) return r;
    if ((r = nshm__life_begin(q->handle.place, &life))) return r;
    nshm__queue_mix(q);
    do {
        if ((r = nshm__queue_lock(&q->head->get.lock, 0))) break;
        r = nshm__queue_join_locked(q, roles, &life);
        nshm__queue_unlock(&q->head->get.lock, 1);
    } while (r == -ENFILE && !swept++ && nshm__queue_sweep(q, NULL) >= 0); /* entries of the dead */
    if (life) nshm__life_end(life); /* the handle had one already, or gets none */
    return r;
}
/* Before each operation: do we take part with that role?  One load of each of two words, beside what the system asks. */
static inline __attribute__((always_inline)) int nshm__queue_ready(nshm_queue *q, uint32_t role) {
    if (nshm__queue_within()) return -EDEADLK;
    if (nshm__peek(&q->forks, ACQUIRE) == nshm__peek(&nshm__forks, RELAXED) && (nshm__peek(&q->roles, ACQUIRE) & role)) return 0;
    return nshm_queue_join(q, role);
}

/* Leave: our loans and unacknowledged messages are left as by a death.  Who waits looks whether he is alone now. */
static inline void nshm__queue_leave(nshm_queue *q) {
    nshm_queue_head *h = q->head;
    int64_t until = nshm_now() + 1000000000; /* then whoever looks for the dead has to do it */
    int r;
    if (q->forks != nshm__peek(&nshm__forks, ACQUIRE) || !q->roles) return;
    nshm__queue_introduce();
    while ((r = nshm__queue_lock(&h->get.lock, until)) == -EINTR) {}
    if (!r) {
        if (nshm__peek(&q->entries[q->entry].word, RELAXED) >> 8 == q->id >> 32) nshm__poke(&q->entries[q->entry].word, 0, RELEASE);
        NSHM_STEP("left");
        if (q->mode & NSHM_QUEUE_ACK) nshm__poke(&h->returned, 1, RELEASE); /* perhaps we held some */
        nshm__queue_unlock(&h->get.lock, 1);
    }
    nshm__poke(&q->roles, 0, RELEASE);
    nshm__queue_alert(&h->put.lock, INT_MAX);
    nshm__queue_alert(&h->pool.lock, INT_MAX);
    nshm__life_end(q->life);
    q->life = NULL;
}
#endif
