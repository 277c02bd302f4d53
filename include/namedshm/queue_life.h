/* namedshm/queue_life.h - a process's proof of life, and whether others live: on Linux.
 *
 * A process that takes part in a queue has a segment attached that nobody else attaches and no forked child inherits; the queue's table
 * names it.  The kernel lets go of it when the process's memory goes, after it has given up all that its threads had locked.  So who is
 * said to be dead does nothing more, and what it published is published.
 *
 * Owns:   death is proved, never guessed (namedshm.h): whatever else the kernel answers, its participants live.
 *         The segment is made like those of objects, under the registry's lock with its key: a kill in the midst leaves at most an id
 *         that the next creator removes.  (Where the registry may not be written, in Global, it has no key, as unnamed sections.)
 * Needs:  making.h, queue_types.h.
 */
#ifndef NAMEDSHM_PART_QUEUE_LIFE_H
#define NAMEDSHM_PART_QUEUE_LIFE_H
#include "making.h"
#include "queue_types.h"

struct nshm__life { /* for one registry */
    nshm_place *place;
    void *at;
    uint32_t size;
    int id, users; /* handles that took part with it */
    struct nshm__life *next;
};
static nshm__life *nshm__lives_here; /* of this process, one for each registry: the guard protects the list */
static uint32_t nshm__forks;         /* raised in each forked child, which has to take part anew */
static pthread_once_t nshm__life_once = PTHREAD_ONCE_INIT;

static inline void nshm__life_forked(void) {
    for (nshm__life *l = nshm__lives_here, *next; l; l = next) { /* what they had attached is not here */
        next = l->next;
        free(l);
    }
    nshm__lives_here = NULL;
    nshm__poke(&nshm__forks, nshm__forks + 1, RELEASE);
}
static inline void nshm__life_at_fork(void) { pthread_atfork(NULL, NULL, nshm__life_forked); }

/* With the guard: one that is there, used once more; or NULL. */
static inline nshm__life *nshm__life_known(const nshm_place *p) {
    for (nshm__life *l = nshm__lives_here; l; l = l->next)
        if (l->place == p) {
            l->users++;
            return l;
        }
    return NULL;
}
/* With the guard, and the registry's lock if `locked`. */
static inline int nshm__life_make(nshm_place *p, int locked, nshm__life **life) {
    uint64_t nonce = 0;
    nshm__life *l;
    int r = nshm__nonce(p->scope, &nonce);
    if (r) return r;
    if ((r = nshm__here(p)) != 1) return r ? r : -EXDEV; /* ids mean something within one IPC namespace */
    if (!(l = (nshm__life *)calloc(1, sizeof *l))) return -ENOMEM;
    l->place = p;
    l->size = (uint32_t)(1 + nonce % NSHM_TOKEN_SPAN);
    l->users = 1;
    if (locked) r = nshm__segment(p, l->size, 0600, SHM_NORESERVE, -1, NULL, &l->id, &l->at);
    else if ((l->id = shmget(IPC_PRIVATE, l->size, IPC_CREAT | SHM_NORESERVE | 0600 | NSHM_MARK)) < 0) r = -errno;
    else if (!(l->at = nshm__attach(l->id, 1))) {
        r = -errno;
        shmctl(l->id, IPC_RMID, NULL);
    } else r = nshm__finish_segment(l->id, 0600, -1);
    if (!r && madvise(l->at, nshm_page_round(l->size), MADV_DONTFORK)) r = -errno;
    if (r) {
        nshm__detach(l->at, l->size);
        free(l);
        return r;
    }
    l->next = nshm__lives_here;
    nshm__lives_here = l;
    *life = l;
    return 0;
}
/* This process's for that registry; made if there is none. */
static inline int nshm__life_begin(nshm_place *p, nshm__life **life) {
    int r, locked = p->writable;
    pthread_once(&nshm__life_once, nshm__life_at_fork);
    if ((r = nshm__enter())) return r;
    *life = nshm__life_known(p);
    nshm__exit();
    if (*life) return 0;
    if (locked && (r = nshm__lock(p->registry, 1))) return r;
    if (!(r = nshm__enter())) {
        if (!(*life = nshm__life_known(p))) r = nshm__life_make(p, locked, life);
        nshm__exit();
    }
    if (locked) nshm__unlock(p->registry);
    return r;
}
static inline void nshm__life_end(nshm__life *life) {
    if (nshm__enter()) return;
    if (!--life->users) {
        nshm__life **link = &nshm__lives_here;
        while (*link && *link != life) link = &(*link)->next;
        if (*link) *link = life->next;
        nshm__detach(life->at, life->size);
        free(life);
    }
    nshm__exit();
}

/* Under the get lock: the proof goes into our entry, before its word does. */
static inline void nshm__life_enter(const nshm_queue *q, nshm_queue_entry *e) {
    const nshm_place *p = q->handle.place;
    nshm__poke(&e->token, q->life->id, RELAXED);
    nshm__poke(&e->token_size, q->life->size, RELAXED);
    nshm__poke(&e->maker, p->global ? p->scope->uid : 0, RELAXED);
    nshm__poke(&e->pid, getpid(), RELAXED);
}
/* Does the process of this entry live?  1; 0: it is dead, if the queue's registry was seen to be here; negative: could not tell. */
static inline int nshm__queue_lives(const nshm_queue *q, const nshm_queue_entry *e) {
    int64_t ctime;
    int token = nshm__peek(&e->token, RELAXED);
    return nshm__is(q->handle.place->scope, token, nshm__peek(&e->token_size, RELAXED), nshm__peek(&e->maker, RELAXED), 0, &ctime);
}
/* Is the registry here, so that "dead" is a proof? */
static inline int nshm__queue_may_tell(const nshm_queue *q) { return nshm__here(q->handle.place) == 1; }
#endif
