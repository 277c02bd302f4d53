/* namedshm/queue_look.h - what is in a queue, and who takes part.
 *
 * Owns:   looking changes nothing, takes no lock and needs no right to write.
 * Needs:  queue_wait.h.
 */
#ifndef NAMEDSHM_PART_QUEUE_LOOK_H
#define NAMEDSHM_PART_QUEUE_LOOK_H
#include "queue_wait.h"

static inline uint32_t nshm_queue_count(const nshm_queue *q) {
    uint64_t got = nshm__peek(&q->head->get.cursor, ACQUIRE), put = nshm__peek(&q->head->put.cursor, RELAXED);
    int64_t n = (int64_t)(put - got); /* the put cursor may be behind, after a kill or because it was read earlier than others moved it */
    if (n <= 0) return nshm__queue_published(nshm__peek(nshm__queue_slot(q, got), ACQUIRE), got);
    return n > (int64_t)q->capacity ? q->capacity : (uint32_t)n;
}
static inline uint32_t nshm_queue_again(const nshm_queue *q) {
    uint32_t n = 0;
    if (!(q->mode & NSHM_QUEUE_ACK) || !nshm__peek(&q->head->returned, ACQUIRE)) return 0;
    for (uint32_t c = 0; c < q->chunks; c++) n += nshm__peek(&q->chunk[c].owner, RELAXED) == (NSHM__NOBODY | NSHM_CONSUMER);
    return n;
}
static inline int nshm_queue_is_shut(const nshm_queue *q) { return nshm__queue_shut(q); }
static inline void nshm_queue_stat(const nshm_queue *q, nshm_queue_statistics *s) {
    const nshm_queue_head *h = q->head;
    memset(s, 0, sizeof *s);
    s->got = nshm__peek(&h->get.cursor, ACQUIRE);
    s->waiting = nshm_queue_count(q);
    s->put = s->got + s->waiting;
    s->put_bytes = nshm__peek(&h->put.bytes, RELAXED);
    s->got_bytes = nshm__peek(&h->get.bytes, RELAXED);
    s->redelivered = nshm__peek(&h->redelivered, RELAXED);
    s->dropped = nshm__peek(&h->dropped, RELAXED);
    s->shut = nshm__queue_shut(q);
    for (uint32_t c = 0; c < q->chunks; c++) {
        uint64_t owner = nshm__peek(&q->chunk[c].owner, RELAXED);
        if (!owner) s->free_chunks++;
        else if ((owner & 0xff) == NSHM_CONSUMER) s->held++;
        else s->loaned++;
    }
    s->sleepers = (nshm__peek(&h->put.lock, RELAXED) & NSHM__SLEEPERS ? 1 : 0) | (nshm__peek(&h->get.lock, RELAXED) & NSHM__SLEEPERS ? 2 : 0) |
                  (nshm__peek(&h->pool.lock, RELAXED) & NSHM__SLEEPERS ? 4 : 0);
}
static inline int nshm_queue_next_participant(const nshm_queue *q, uint32_t *cursor, nshm_queue_participant *p) {
    for (; *cursor < q->participants; ++*cursor) {
        const nshm_queue_entry *e = &q->entries[*cursor];
        uint64_t word = nshm__peek(&e->word, ACQUIRE);
        if (!word) continue;
        p->maker = nshm__peek(&e->maker, RELAXED);
        p->pid = nshm__peek(&e->pid, RELAXED);
        p->roles = (uint32_t)word & 0xff;
        p->lives = nshm__queue_lives(q, e);
        if (!p->lives && !nshm__queue_may_tell(q)) p->lives = nshm__unsure(EXDEV);
        ++*cursor;
        return 0;
    }
    return -ENOENT;
}
#endif
