/* namedshm/topic_look.h - what is in a topic, and who takes part.
 *
 * Owns:   looking changes nothing, takes no lock and needs no right to write.
 * Needs:  topic_wait.h.
 */
#ifndef NAMEDSHM_PART_TOPIC_LOOK_H
#define NAMEDSHM_PART_TOPIC_LOOK_H
#include "topic_wait.h"

static inline uint64_t nshm_topic_number(const nshm_topic *t) { return nshm__topic_latest(t); }
static inline uint64_t nshm_topic_lag(const nshm_topic *t, uint64_t number) {
    uint64_t latest = nshm__topic_latest(t);
    return latest > number ? latest - number : 0;
}
static inline void nshm_topic_stat(const nshm_topic *t, nshm_topic_statistics *s) {
    const nshm_topic_head *h = t->head;
    nshm_topic_window w;
    uint64_t word = nshm__peek(&h->latest, ACQUIRE);
    memset(s, 0, sizeof *s);
    s->published = word >> 1;
    s->ended = (int)(word & 1);
    s->bytes = nshm__peek(&h->bytes, RELAXED);
    for (int i = 0; i < NSHM_TOPIC_TRIES && !s->time && s->published; i++) {
        int r = nshm__topic_tell(t, s->published, &w);
        if (!r) s->time = w.time;
        if (r != -ESTALE) break;
        s->published = nshm__topic_latest(t);
    }
    for (uint32_t f = 0; f < t->frames; f++) {
        uint64_t state = nshm__peek(&t->frame[f].state, RELAXED);
        if (nshm__peek(&t->frame[f].pins, RELAXED)) s->pinned++;
        else if (state & 1) s->loaned++;
        else if (!state || (state >> 1) + t->history <= s->published) s->free_frames++;
    }
}
static inline int nshm_topic_waiting(const nshm_topic *t) { return nshm__topic_sleepers(t); }
static inline int nshm_topic_next_participant(const nshm_topic *t, uint32_t *cursor, nshm_topic_participant *p) {
    for (; *cursor < t->pins + t->writers; ++*cursor) {
        const nshm_topic_place *place = &t->places[*cursor];
        uint64_t word = nshm__peek(&place->word, ACQUIRE);
        if (!word) continue;
        p->maker = nshm__peek(&place->maker, RELAXED);
        p->pid = nshm__peek(&place->pid, RELAXED);
        p->role = (uint32_t)word & 0xff;
        p->lives = nshm__topic_lives(t, place);
        if (!p->lives && !nshm__topic_may_tell(t)) p->lives = nshm__unsure(EXDEV);
        ++*cursor;
        return 0;
    }
    return -ENOENT;
}
#endif
