/* namedshm/topic_system.h - what a topic needs of the system: a lock that the dead give up, sleeping and waking, who lives.
 *
 * The rest of a topic is memory and its order.  Another system needs these functions, and making and attaching (topic_make.h).
 *
 * Owns:   the locks are those of queue_lock.h: the word is pending from before it is taken until it is given up, so a kill at any
 *         instruction gives it up.  Nobody sleeps on them, so giving one up wakes nobody.  They are not nested, and nothing that
 *         can wait is done under one.  Readers sleep on the lower half of `latest`: a futex needs no right to write.
 * Needs:  queue_life.h, queue_lock.h, topic_types.h.
 */
#ifndef NAMEDSHM_PART_TOPIC_SYSTEM_H
#define NAMEDSHM_PART_TOPIC_SYSTEM_H
#include "queue_life.h"
#include "queue_lock.h"
#include "topic_types.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#define NSHM__EVERYBODY 0xffffffffu /* of FUTEX_WAKE_BITSET */

static inline int nshm__topic_lock(uint32_t *lock, int64_t deadline) { return nshm__queue_lock(lock, deadline); }
static inline void nshm__topic_unlock(uint32_t *lock) { nshm__queue_unlock(lock, 1); }
/* Are we a signal handler that interrupted an operation of this thread?  Its word would not be pending any more after ours.  Also
 * -ENOSYS. */
static inline int nshm__topic_may_lock(void) {
    nshm__tid();
    return !nshm__me.head ? -ENOSYS : nshm__me.head->list_op_pending ? -EDEADLK : 0;
}

static inline uint32_t *nshm__topic_bed(const nshm_topic *t) { return (uint32_t *)&t->head->latest; }
/* Wake n of those who sleep, if one of these bits is theirs: how many. */
static inline int nshm__topic_wake(const nshm_topic *t, int n, uint32_t bits) {
    return (int)syscall(SYS_futex, nshm__topic_bed(t), FUTEX_WAKE_BITSET, n, NULL, NULL, bits);
}
/* Sleep while `latest` is `word`.  1: woken; 0: it is another; -ETIMEDOUT, -EINTR, -EUCLEAN. */
static inline int nshm__topic_sleep(const nshm_topic *t, uint64_t word, int64_t until, uint32_t bits) {
    struct timespec end = {until / 1000000000, until % 1000000000};
    if (!syscall(SYS_futex, nshm__topic_bed(t), FUTEX_WAIT_BITSET, (uint32_t)word, &end, NULL, bits)) return 1;
    return errno == EAGAIN ? 0 : errno == EINTR || errno == ETIMEDOUT ? -errno : -EUCLEAN;
}
/* How many sleep: as many as can be moved from there to where they are. */
static inline int nshm__topic_sleepers(const nshm_topic *t) {
    uint32_t *bed = nshm__topic_bed(t);
    return (int)syscall(SYS_futex, bed, FUTEX_REQUEUE, 0, (void *)(intptr_t)INT_MAX, bed, 0);
}
static inline int nshm__topic_rest(int64_t nanoseconds) { /* -EINTR: a signal handler ran */
    struct timespec nap = {nanoseconds / 1000000000, nanoseconds % 1000000000};
    return nanosleep(&nap, NULL) ? -EINTR : 0;
}

/* Does the process of this place live?  1; 0: it is dead, if the topic's registry was seen to be here; negative: could not tell. */
static inline int nshm__topic_lives(const nshm_topic *t, const nshm_topic_place *p) {
    int64_t ctime;
    int token = nshm__peek(&p->token, RELAXED);
    return nshm__is(t->handle.place->scope, token, nshm__peek(&p->token_size, RELAXED), nshm__peek(&p->maker, RELAXED), 0, &ctime);
}
/* Is the registry here, so that "dead" is a proof? */
static inline int nshm__topic_may_tell(const nshm_topic *t) { return nshm__here(t->handle.place) == 1; }

/* What every operation touches has its pages before one needs them under a lock; those of frames come as they are used.  A kernel
 * before 5.14 cannot do it: then they come at first use. */
static inline int nshm__topic_populate(const nshm_topic *t) {
    uint64_t n = (uint64_t)(t->ring - (char *)t->head) + (uint64_t)t->ring_size * t->stride;
    while (madvise(t->head, nshm_page_round(n), MADV_POPULATE_WRITE))
        if (errno != EINTR && errno != EAGAIN) return errno == ENOMEM || errno == EFAULT ? -ENOMEM : 0;
    return 0;
}
#endif
