/* queues.h - what the programs of this directory share: a scope of their own, and a queue in it. */
#ifndef CRASH_QUEUES_H
#define CRASH_QUEUES_H
#include "../crash/common.h"
#include "namedshm_queue.h"

static nshm_scope scope;
static nshm_queue_start start;
#define QUEUE_NAME "queue", 5

static inline void begin_scope(const char *what) {
    char session[64];
    snprintf(session, sizeof session, "%s-%d-%lx", what, (int)getpid(), (long)time(NULL));
    nshm_scope_init(&scope, NSHM_LOCAL, session, -1, 1);
}
static inline nshm_queue_start starting(uint32_t capacity, uint32_t inline_max, uint32_t chunks, uint32_t mode, uint64_t message_max) {
    nshm_queue_start s = {capacity, inline_max, chunks, 8, mode, message_max};
    return s;
}
static inline void make_queue(nshm_queue *q) {
    int r = nshm_queue_create(&scope, QUEUE_NAME, 0600, -1, NSHM_EXCLUSIVE, &start, q);
    if (r) broken("create: %s", strerror(-r));
    q->spin = 0;
}
static inline void open_queue(nshm_queue *q, uint32_t roles) {
    int r = nshm_queue_open(&scope, QUEUE_NAME, 0, q);
    if (!r && roles) r = nshm_queue_join(q, roles);
    if (r) broken("open: %s", strerror(-r));
    q->spin = 0;
}
/* Chunks and entries that are somebody's, beside this handle's own entry. */
static inline int left_over(nshm_queue *q) {
    int n = 0;
    for (uint32_t c = 0; c < q->chunks; c++) n += q->chunk[c].owner != 0;
    for (uint32_t i = 0; i < q->participants; i++) n += i != q->entry && q->entries[i].word != 0;
    return n;
}
#endif
