/* namedshm/sync_thread.h - what this thread is and which mutexes it owns.
 *
 * Owns:   who owns a mutex, and how often, is in private memory: nothing that others can write changes it.  Room for a new entry is
 *         made before the mutex is taken, for afterwards nothing may fail.
 * Needs:  lock.h, sync_types.h.
 */
#ifndef NAMEDSHM_PART_SYNC_THREAD_H
#define NAMEDSHM_PART_SYNC_THREAD_H
#include "lock.h"
#include "sync_types.h"

typedef struct { /* a mutex that this thread owns */
    uint64_t identity; /* which object: its nonce.  Not its segment's id: ids of two IPC namespaces can be equal */
    nshm_words *words; /* the attachment that the robust list goes through */
    uint32_t depth;    /* recursion */
} nshm__own;

static __thread struct {
    uint32_t tid, space;
    int count, room;
    struct robust_list_head *head;
    uint32_t *keep;     /* the word that stays pending while this thread is in a wait: see nshm__sleep */
    nshm__own *held, few[8];
} nshm__me;
static pthread_once_t nshm__once = PTHREAD_ONCE_INIT;

static inline void nshm__forked(void) { /* the child's only thread is new and owns nothing */
    nshm__me.tid = 0;
    nshm__me.count = 0;
    nshm__me.keep = NULL;
}
static inline void nshm__at_fork(void) { pthread_atfork(NULL, NULL, nshm__forked); }
static inline uint32_t nshm__pid_namespace(void) {
    struct stat s;
    return stat("/proc/self/ns/pid", &s) ? NSHM_MIXED : (uint32_t)s.st_ino;
}
static __attribute__((noinline, unused)) uint32_t nshm__introduce(void) { /* the first time in a thread */
    pthread_once(&nshm__once, nshm__at_fork);
    nshm__me.tid = (uint32_t)syscall(SYS_gettid);
    nshm__me.head = nshm__robust(nshm__me.tid);
    nshm__me.space = nshm__pid_namespace();
    if (!nshm__me.held) {
        nshm__me.held = nshm__me.few;
        nshm__me.room = 8;
    }
    return nshm__me.tid;
}
static inline uint32_t nshm__tid(void) { return nshm__me.tid ? nshm__me.tid : nshm__introduce(); }
/* From now on, if this thread dies, the kernel looks at that word.  NULL: at none, or at the one to keep. */
static inline void nshm__pending(uint32_t *word) { nshm__pend(nshm__me.head, word ? word : nshm__me.keep); }

static inline int nshm__reserve_room(int more) {
    if (nshm__me.count + more > nshm__me.room) {
        int room = (nshm__me.count + more) * 2;
        nshm__own *p = (nshm__own *)realloc(nshm__me.held == nshm__me.few ? NULL : nshm__me.held, (size_t)room * sizeof *p);
        if (!p) return -ENOMEM;
        if (nshm__me.held == nshm__me.few) memcpy(p, nshm__me.few, sizeof nshm__me.few);
        nshm__me.held = p;
        nshm__me.room = room;
    }
    return 0;
}
/* Where in nshm__me.held; -1: this thread does not own it. */
static inline int nshm__held_index(uint64_t identity) {
    for (int k = nshm__me.count; k-- > 0;)
        if (nshm__me.held[k].identity == identity) return k;
    return -1;
}
#endif
