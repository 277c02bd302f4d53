/* topics.h - what the programs of this directory share: a scope of their own, and a topic in it. */
#ifndef CRASH_TOPICS_H
#define CRASH_TOPICS_H
#include "../crash/common.h"
#include "namedshm_topic.h"

static nshm_scope scope;
static nshm_topic_start start;
#define TOPIC_NAME "topic", 5

static inline void begin_scope(const char *what) {
    char session[64];
    snprintf(session, sizeof session, "%s-%d-%lx", what, (int)getpid(), (long)time(NULL));
    nshm_scope_init(&scope, NSHM_LOCAL, session, -1, 1);
}
static inline nshm_topic_start starting(uint32_t history, uint32_t inline_max, uint32_t pins, uint32_t writers, uint64_t value_max) {
    nshm_topic_start s = {history, inline_max, pins, writers, 0, value_max, NSHM_TOPIC_RAW, 0, NULL};
    return s;
}
static inline void make_topic(nshm_topic *t) {
    int r = nshm_topic_create(&scope, TOPIC_NAME, 0600, -1, NSHM_EXCLUSIVE, &start, t);
    if (r) broken("create: %s", strerror(-r));
    t->spin = 0;
}
static inline void open_topic(nshm_topic *t, int flags) {
    int r = nshm_topic_open(&scope, TOPIC_NAME, flags, t);
    if (r) broken("open: %s", strerror(-r));
    t->spin = 0;
}
static inline void join_topic(nshm_topic *t, uint32_t role) {
    int r = nshm_topic_join(t, role);
    if (r) broken("join: %s", strerror(-r));
}
/* Frames being filled, pins and places that are somebody's, beside this handle's own places. */
static inline int left_over(const nshm_topic *t) {
    int n = 0;
    for (uint32_t f = 0; f < t->frames; f++) n += (int)(t->frame[f].state & 1) + (t->frame[f].pins != 0);
    for (uint32_t i = 0; i < t->pins + t->writers; i++) {
        int ours = i < t->pins ? (int)(t->mine[NSHM_PINNER - 1] >> i & 1) : (int)(t->mine[NSHM_WRITER - 1] >> (i - t->pins) & 1);
        n += !ours && t->places[i].word != 0;
    }
    return n;
}
/* Frames that have a value which nobody can read: their writer died before it was published. */
static inline int unnamed(const nshm_topic *t) {
    uint64_t latest = nshm_topic_number(t);
    int n = 0;
    for (uint32_t f = 0; f < t->frames; f++) {
        uint64_t state = t->frame[f].state, number = state >> 1;
        if (state && !(state & 1) && number + t->history > latest) n += number > latest || nshm__topic_value(t, number)->frame != f;
    }
    return n;
}
#endif
