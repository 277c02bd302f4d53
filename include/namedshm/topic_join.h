/* namedshm/topic_join.h - taking part, and leaving.
 *
 * Who only reads without pins takes no part, and needs no right to write.  A writer has a place for each frame that it fills at one
 * time, a reader one for each that it pins at one time; a handle takes places as its threads need them, and keeps them until it is
 * closed.  A handle that a forked child inherits has no place: it joins anew at its first use.  What its parent held is the
 * parent's.
 *
 * Owns:   the table: changed under its lock.  A place's fields are there before its word (release).  Which places are ours
 *         (nshm_topic.mine, idle, id) changes under that lock, too; they are read without it, `forks` first: who sees a child's
 *         number sees that its parent's places are gone.  A place is taken out of `idle` by whoever uses it.
 * Needs:  topic_sweep.h.
 */
#ifndef NAMEDSHM_PART_TOPIC_JOIN_H
#define NAMEDSHM_PART_TOPIC_JOIN_H
#include "topic_sweep.h"

/* A place of ours that nobody uses, to be used: its number in its part of the table; -1: there is none. */
static inline int nshm__topic_use(nshm_topic *t, uint32_t role) {
    uint64_t idle = nshm__peek(&t->idle[role - 1], RELAXED);
    while (idle)
        if (nshm__trade(&t->idle[role - 1], &idle, idle & (idle - 1), ACQUIRE)) return __builtin_ctzll(idle);
    return -1;
}
static inline void nshm__topic_unuse(nshm_topic *t, uint32_t role, uint32_t i) {
    __atomic_fetch_or(&t->idle[role - 1], nshm__place_bit(i), __ATOMIC_RELEASE);
}
/* The place that signs with this: its number; -1: it is not ours, or not in use. */
static inline int nshm__topic_signed(const nshm_topic *t, uint32_t role, uint64_t id) {
    uint32_t i = ((uint32_t)id >> 8) - (role == NSHM_WRITER ? t->pins : 0);
    if (!id || i >= NSHM_TOPIC_PLACES_MAX || nshm__peek(&t->forks, ACQUIRE) != nshm__peek(&nshm__forks, RELAXED)) return -1;
    uint64_t bit = nshm__place_bit(i), used = nshm__peek(&t->mine[role - 1], ACQUIRE) & ~nshm__peek(&t->idle[role - 1], RELAXED);
    return (used & bit) && nshm__peek(&t->id[role - 1][i], RELAXED) == id ? (int)i : -1;
}

/* Under the lock of the table: one more place for us.  -ENFILE: all are taken. */
static inline int nshm__topic_enter(nshm_topic *t, uint32_t role) {
    uint32_t from = role == NSHM_WRITER ? t->pins : 0, n = role == NSHM_WRITER ? t->writers : t->pins;
    nshm_topic_head *h = t->head;
    for (uint32_t i = 0; i < n; i++) {
        nshm_topic_place *p = &t->places[from + i];
        if (nshm__peek(&p->word, ACQUIRE)) continue;
        if (nshm__peek(&t->mine[role - 1], RELAXED) & nshm__place_bit(i)) continue; /* somebody wrote over it */
        uint32_t generation = nshm__peek(&h->generation, RELAXED) + 1;
        if (!generation) generation = 1;
        nshm__poke(&h->generation, generation, RELAXED);
        nshm__poke(&p->token, t->life->id, RELAXED);
        nshm__poke(&p->token_size, t->life->size, RELAXED);
        nshm__poke(&p->maker, t->handle.place->global ? t->handle.place->scope->uid : 0, RELAXED);
        nshm__poke(&p->pid, getpid(), RELAXED);
        if (role == NSHM_WRITER) nshm__poke(&h->had_writer, 1, RELAXED);
        NSHM_STEP("joining");
        nshm__poke(&p->word, (uint64_t)generation << 8 | role, RELEASE);
        NSHM_STEP("joined");
        nshm__poke(&t->id[role - 1][i], (uint64_t)generation << 32 | (uint64_t)(from + i) << 8 | 1, RELAXED);
        __atomic_fetch_or(&t->mine[role - 1], nshm__place_bit(i), __ATOMIC_RELEASE);
        nshm__topic_unuse(t, role, i);
        return 0;
    }
    return -ENFILE;
}
/* Under that lock.  What we inherited is the parent's. */
static inline void nshm__topic_renew(nshm_topic *t) {
    uint32_t forks = nshm__peek(&nshm__forks, ACQUIRE);
    if (nshm__peek(&t->forks, RELAXED) == forks) return;
    t->life = NULL;
    for (int k = 0; k < 2; k++) {
        nshm__poke(&t->idle[k], 0, RELAXED);
        nshm__poke(&t->mine[k], 0, RELEASE);
    }
    nshm__poke(&t->forks, forks, RELEASE);
}
/* One more place. */
static __attribute__((noinline, unused)) int nshm__topic_join_more(nshm_topic *t, uint32_t role) {
    nshm__life *life;
    int r, swept = 0;
    if (t->handle.readonly) return -EACCES;
    if ((r = nshm__topic_may_lock()) || (r = nshm__life_begin(t->handle.place, &life))) return r;
    do {
        if ((r = nshm__topic_lock(&t->head->table, 0))) break;
        nshm__topic_renew(t);
        int first = !t->life;
        if (first) t->life = life;
        r = nshm__topic_enter(t, role);
        if (first && r) t->life = NULL;
        else if (first) life = NULL;
        nshm__topic_unlock(&t->head->table);
    } while (r == -ENFILE && !swept++ && nshm__topic_sweep(t) >= 0); /* places of the dead */
    if (life) nshm__life_end(life); /* the handle had one already, or gets none */
    return r;
}
/* Before each operation: do we take part in that role? */
static inline int nshm__topic_ready(nshm_topic *t, uint32_t role) {
    int r = nshm__topic_may_lock();
    if (r) return r;
    if (nshm__peek(&t->forks, ACQUIRE) == nshm__peek(&nshm__forks, RELAXED) && nshm__peek(&t->mine[role - 1], ACQUIRE)) return 0;
    return nshm__topic_join_more(t, role);
}
static inline int nshm_topic_join(nshm_topic *t, uint32_t role) {
    return role == NSHM_WRITER || role == NSHM_PINNER ? nshm__topic_ready(t, role) : -EINVAL;
}

/* Leave: what we fill is free, what we pin is not pinned any more.  Who waits looks whether he is alone now. */
static inline void nshm__topic_leave(nshm_topic *t) {
    nshm_topic_head *h = t->head;
    int64_t until = nshm_now() + 1000000000; /* then whoever looks for the dead has to do it */
    int r;
    if (t->forks != nshm__peek(&nshm__forks, ACQUIRE) || !t->life) return;
    nshm__tid();
    while ((r = nshm__topic_lock(&h->table, until)) == -EINTR) {}
    if (!r) {
        uint64_t pins = t->mine[NSHM_PINNER - 1], loans = t->mine[NSHM_WRITER - 1];
        for (uint32_t f = 0; f < t->frames; f++) {
            uint64_t state = nshm__peek(&t->frame[f].state, RELAXED);
            uint32_t i = ((uint32_t)state >> 8) - t->pins;
            if ((state & 1) && i < t->writers && (loans & nshm__place_bit(i)) && state == t->id[NSHM_WRITER - 1][i])
                nshm__topic_give_back(t, f, state);
            if (nshm__peek(&t->frame[f].pins, RELAXED) & pins) nshm__topic_let_go(t, f, pins);
        }
        for (uint32_t i = 0; i < t->pins + t->writers; i++) {
            int role = i < t->pins ? NSHM_PINNER : NSHM_WRITER;
            uint32_t at = i < t->pins ? i : i - t->pins;
            if (!(t->mine[role - 1] & nshm__place_bit(at))) continue;
            if (nshm__peek(&t->places[i].word, RELAXED) >> 8 != t->id[role - 1][at] >> 32) continue; /* somebody wrote over it */
            nshm__poke(&t->places[i].word, 0, RELEASE); /* after its frames and pins: who takes it over must not find them */
            NSHM_STEP("left");
        }
        nshm__topic_unlock(&h->table);
    }
    for (int k = 0; k < 2; k++) {
        nshm__poke(&t->idle[k], 0, RELAXED);
        nshm__poke(&t->mine[k], 0, RELEASE);
    }
    if (t->mode & NSHM_TOPIC_ENDS) nshm__topic_wake(t, INT_MAX, NSHM__EVERYBODY);
    nshm__life_end(t->life);
    t->life = NULL;
}
#endif
