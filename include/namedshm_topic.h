/* namedshm_topic.h - a named topic between processes, on Linux: the newest value and a history of it, which a killed process cannot
 * break.
 *
 * What:   one writer or several, any number of readers, each of which sees the newest value, or all that it is quick enough for.  A
 *         name and a lifetime like every object of namedshm.h.  Values are bytes, copied in and out, or filled and read where they
 *         lie; with them goes a schema that tells what they mean.  Publishing and reading make no system call, unless somebody
 *         sleeps.
 * Why:    a camera, a sensor, a state: who reads it wants the newest, whole, and must be in nobody's way.  Readers need no right to
 *         write.  A writer does not wait for readers, and what it does for them does not grow with their number.
 * Not:    a queue: whoever is slow misses values, and is told how many (namedshm_queue.h loses none).
 *
 * How:    nshm_topic_start start = {8, 256, 4, 1, 0, 1 << 20, NSHM_TOPIC_RAW, 0, NULL};
 *         nshm_topic t;
 *         nshm_topic_window w;
 *         char buffer[256];
 *         nshm_topic_create(&local, "camera", 6, 0644, -1, 0, &start, &t);
 *         nshm_topic_publish(&t, "hello", 5, INT64_MAX, NULL);
 *         if (!nshm_topic_latest(&t, 0, buffer, sizeof buffer, &w, INT64_MAX)) use(w.data, w.length);
 *         nshm_topic_close(&t);                                        (errors are not looked at here)
 *
 * This file has the public functions and what they promise; the parts in namedshm/ have the code and why it is safe:
 *
 *     topic_layout.h   the memory format (docs/format-topic.md)     topic_sweep.h  what the dead left
 *     topic_types.h    what callers hold; limits                    topic_join.h   taking part, and leaving
 *     topic_system.h   what is needed of the system                 topic_wait.h   waiting and waking
 *     topic_frames.h   who fills which frame, and pins              topic_make.h   making, opening, closing
 *     topic_ring.h     publishing and reading                       topic_look.h   statistics
 *     topic_quick.h    a try that waits for nothing                 topic_watch.h  waits that another thread sleeps for
 *
 * Values up to inline_max bytes lie in the ring; longer ones in frames.  A value has its number when it is published, not when its
 * frame is lent: a loan that is held, stopped or dead stands in nobody's way.  Neither does a pin: a writer always finds another
 * frame, for there are as many as history, pins and writers can keep back together, and one more.
 *
 * Deadlines are CLOCK_MONOTONIC nanoseconds as nshm_now() gives them; 0: do not wait; INT64_MAX: for ever.  Functions return 0, or
 * an error:
 *
 *   -EAGAIN    there is no newer value, or no frame, and the deadline is 0  -ETIMEDOUT  the same until the deadline
 *   -EINTR     a signal handler ran while it waited: call again             -EPIPE      it was ended, or is over (NSHM_TOPIC_ENDS)
 *   -EMSGSIZE  longer than value_max, or than the buffer                    -EINVAL     a wrong argument
 *   -ENFILE    as many write, or pin, as there is room for                  -EACCES     the handle is read-only
 *   -EBUSY     overtaken NSHM_TOPIC_TRIES times in one call (pin it, or     -EDEADLK    called from a signal handler that interrupted one
 *              have more history); or a process was stopped within a                    of these functions
 *              lock, for ten seconds                                        -ENOSYS     the kernel has no robust lists
 *   -EUCLEAN   somebody wrote over the topic                                -EXDEV      this thread is in another IPC namespace
 *   -EPROTO    a topic of another version of the format                     and what nshm_create and nshm_open return
 *
 * Threads of a process may use one handle at once; it is closed when all are out.  A forked child may use what it inherited: it
 * takes part as itself.  Loans and pins are the parent's; the child must not give them back.
 *
 * Kills: whatever is killed at any instruction, the last value that was published and its history can be read, whole; a number is
 * given once; nothing that is pinned is written over; writers find a frame; nobody is kept waiting; no frame, pin or place is lost.
 * What the victim was about to publish is published or not.  What is left to a sleeper's own look, every NSHM_TOPIC_NAP at the
 * latest: a value whose writer was killed before it had woken anybody; one for which a reader was woken that is killed, or stopped,
 * before it has woken two more (the next value wakes them, too); that all writers were killed.  A process that is stopped within
 * the writers' lock, some hundred nanoseconds, keeps other writers waiting until it goes on or dies; readers it does not.
 *
 * Hostile writers: whoever may write a topic can make it useless, and show wrong values; no access goes out of range, and no call
 * goes on for ever.  A value read where it lies may change under the reader, also if it is pinned: copy what is checked.
 * Hostile readers: whoever may only read it can make others sleep for a nap too long, or wake for nothing.
 */
#ifndef NAMEDSHM_TOPIC_H
#define NAMEDSHM_TOPIC_H
#include "namedshm.h"
#include "namedshm/topic_types.h"

/* ------------------------------------------------------------------------------------------------ making, opening, closing
 * How many bytes such a topic takes: all of it address space, memory as it is used.  -EINVAL: a wrong number. */
static inline int nshm_topic_size(const nshm_topic_start *start, uint64_t *size);
/* As nshm_create; t->handle.created tells whether it was made.  Opened instead, it is as it is, whatever `start` says.  t->schema,
 * schema_size and schema_kind are what its creator said. */
static inline int nshm_topic_create(nshm_scope *s, const char *name, size_t n, unsigned mode, int64_t group, int flags,
                                    const nshm_topic_start *start, nshm_topic *t);
/* As nshm_open.  Read-only, all can be done but writing and pinning. */
static inline int nshm_topic_open(nshm_scope *s, const char *name, size_t n, int flags, nshm_topic *t);
/* Take part as NSHM_WRITER or NSHM_PINNER, before the first publication or pin does so by itself. */
static inline int nshm_topic_join(nshm_topic *t, uint32_t role);
/* Leave and close.  What this handle holds is given up as if it had died. */
static inline void nshm_topic_close(nshm_topic *t);

/* ------------------------------------------------------------------------------------------------ publishing
 * A value of `length` bytes, 0 to value_max.  *number: its number; NULL: never mind. */
static inline int nshm_topic_publish(nshm_topic *t, const void *data, uint64_t length, int64_t deadline, uint64_t *number);
/* Borrow a frame of value_max bytes, w->data, to be filled; then publish it, or give it back.  -EINVAL: the topic has no frames,
 * all values are short.  It waits only while all that `writers` allows are lent.  After an error in nshm_topic_commit it is still
 * borrowed. */
static inline int nshm_topic_loan(nshm_topic *t, nshm_topic_window *w, int64_t deadline);
static inline int nshm_topic_commit(nshm_topic *t, nshm_topic_window *w, uint64_t length, int64_t deadline); /* w->number: the value's */
static inline int nshm_topic_abandon(nshm_topic *t, nshm_topic_window *w);
/* Nothing more is published.  Everybody who waits is told; the last values can be read on.  There is no way back. */
static inline int nshm_topic_end(nshm_topic *t);

/* ------------------------------------------------------------------------------------------------ reading
 * The newest value, if its number is above `after`; else it is waited for.  Copied to `buffer`, whole; with NULL, w->data is where
 * it lies, and may be overtaken while it is read: see nshm_topic_valid.  -EMSGSIZE: `room` is not enough for w->length bytes. */
static inline int nshm_topic_latest(const nshm_topic *t, uint64_t after, void *buffer, uint64_t room, nshm_topic_window *w,
                                    int64_t deadline);
/* The same of the oldest one above `after` that is still there: w->missed values were before it. */
static inline int nshm_topic_next(const nshm_topic *t, uint64_t after, void *buffer, uint64_t room, nshm_topic_window *w,
                                  int64_t deadline);
/* Is what was read of the window up to now what was published?  Ask after reading, before believing. */
static inline int nshm_topic_valid(const nshm_topic *t, const nshm_topic_window *w);
/* As latest and next, but the value is kept where it lies until it is released; one that lies in the ring is copied to `buffer`,
 * for which inline_max bytes are always enough. */
static inline int nshm_topic_pin(nshm_topic *t, uint64_t after, void *buffer, uint64_t room, nshm_topic_window *w, int64_t deadline);
static inline int nshm_topic_pin_next(nshm_topic *t, uint64_t after, void *buffer, uint64_t room, nshm_topic_window *w, int64_t deadline);
/* Give a pin up.  Of a window that is not pinned: nothing. */
static inline int nshm_topic_release(nshm_topic *t, nshm_topic_window *w);

/* ------------------------------------------------------------------------------------------------ looking
 * The number of the last value; 0: there is none.  How many there are above `number`. */
static inline uint64_t nshm_topic_number(const nshm_topic *t);
static inline uint64_t nshm_topic_lag(const nshm_topic *t, uint64_t number);
static inline void nshm_topic_stat(const nshm_topic *t, nshm_topic_statistics *s);
/* How many threads sleep for a value.  Asks the kernel. */
static inline int nshm_topic_waiting(const nshm_topic *t);
/* The participant in the first used place at or after *cursor, which begins with 0; -ENOENT at the end.  Who only reads is in none.
 * */
static inline int nshm_topic_next_participant(const nshm_topic *t, uint32_t *cursor, nshm_topic_participant *p);

#include "namedshm/topic_look.h"
#include "namedshm/topic_make.h"
#include "namedshm/topic_quick.h"
#include "namedshm/topic_watch.h"

/* ------------------------------------------------------------------------------------------------ the code of these functions */
static inline int nshm_topic_loan(nshm_topic *t, nshm_topic_window *w, int64_t deadline) {
    memset(w, 0, sizeof *w);
    w->frame = NSHM_TOPIC_NONE;
    return !t->frames || deadline < 0 ? -EINVAL : nshm__topic_loan(t, w, deadline);
}
static inline int nshm_topic_commit(nshm_topic *t, nshm_topic_window *w, uint64_t length, int64_t deadline) {
    int r = nshm__topic_may_lock(), place = nshm__topic_signed(t, NSHM_WRITER, w->holder);
    uint32_t wishes;
    if (r) return r;
    if (w->frame >= t->frames || deadline < 0 || place < 0) return -EINVAL;
    if (length > t->value_max) return -EMSGSIZE;
    if (nshm__peek(&t->frame[w->frame].state, RELAXED) != w->holder) return -EUCLEAN;
    if ((r = nshm__topic_publish(t, w, NULL, length, deadline, &wishes))) return r;
    w->frame = NSHM_TOPIC_NONE;
    w->holder = 0;
    nshm__topic_unuse(t, NSHM_WRITER, (uint32_t)place);
    nshm__topic_wake_some(t, w->number, wishes);
    return 0;
}
static inline int nshm_topic_abandon(nshm_topic *t, nshm_topic_window *w) {
    int place = nshm__topic_signed(t, NSHM_WRITER, w->holder), r;
    if (w->frame >= t->frames || place < 0) return -EINVAL;
    r = nshm__topic_give_back(t, w->frame, w->holder);
    w->frame = NSHM_TOPIC_NONE;
    w->holder = 0;
    nshm__topic_unuse(t, NSHM_WRITER, (uint32_t)place);
    return r;
}
static inline int nshm_topic_publish(nshm_topic *t, const void *data, uint64_t length, int64_t deadline, uint64_t *number) {
    nshm_topic_window w;
    uint32_t wishes;
    int r;
    if (deadline < 0) return -EINVAL;
    if (length > t->value_max) return -EMSGSIZE;
    if (length <= t->inline_max) {
        w.frame = NSHM_TOPIC_NONE;
        if ((r = nshm__topic_ready(t, NSHM_WRITER)) || (r = nshm__topic_publish(t, &w, data, length, deadline, &wishes))) return r;
        nshm__topic_wake_some(t, w.number, wishes);
    } else {
        if ((r = nshm_topic_loan(t, &w, deadline))) return r;
        nshm__topic_copy_in(w.data, data, length);
        if ((r = nshm_topic_commit(t, &w, length, deadline))) {
            nshm_topic_abandon(t, &w);
            return r;
        }
    }
    if (number) *number = w.number;
    return 0;
}
static inline int nshm_topic_end(nshm_topic *t) {
    int r;
    if (t->handle.readonly) return -EACCES;
    if ((r = nshm__topic_may_lock()) || (r = nshm__topic_lock(&t->head->lock, 0))) return r;
    nshm__poke(&t->head->latest, nshm__peek(&t->head->latest, RELAXED) | 1, RELEASE); /* who is just falling asleep sees it change */
    nshm__topic_unlock(&t->head->lock);
    NSHM_STEP("ended");
    nshm__topic_wake(t, INT_MAX, NSHM__EVERYBODY);
    return 0;
}

static inline int nshm_topic_latest(const nshm_topic *t, uint64_t after, void *buffer, uint64_t room, nshm_topic_window *w,
                                    int64_t deadline) {
    nshm__wish how = {0, buffer, room, 0};
    return deadline < 0 ? -EINVAL : nshm__topic_read(t, after, &how, w, deadline);
}
static inline int nshm_topic_next(const nshm_topic *t, uint64_t after, void *buffer, uint64_t room, nshm_topic_window *w,
                                  int64_t deadline) {
    nshm__wish how = {1, buffer, room, 0};
    return deadline < 0 ? -EINVAL : nshm__topic_read(t, after, &how, w, deadline);
}
static inline int nshm_topic_valid(const nshm_topic *t, const nshm_topic_window *w) { return w->holder || nshm__topic_stands(t, w); }
static inline int nshm__topic_pin(nshm_topic *t, uint64_t after, nshm__wish *how, nshm_topic_window *w, int64_t deadline) {
    int r, place;
    w->holder = 0;
    w->frame = NSHM_TOPIC_NONE;
    if (deadline < 0 || !t->pins) return -EINVAL;
    if ((r = nshm__topic_ready(t, NSHM_PINNER))) return r;
    while ((place = nshm__topic_use(t, NSHM_PINNER)) < 0)
        if ((r = nshm__topic_join_more(t, NSHM_PINNER))) return r;
    how->bit = nshm__place_bit((uint32_t)place);
    r = nshm__topic_read(t, after, how, w, deadline);
    if (!r && w->frame != NSHM_TOPIC_NONE) w->holder = nshm__peek(&t->id[NSHM_PINNER - 1][place], RELAXED);
    else nshm__topic_unuse(t, NSHM_PINNER, (uint32_t)place);
    return r;
}
static inline int nshm_topic_pin(nshm_topic *t, uint64_t after, void *buffer, uint64_t room, nshm_topic_window *w, int64_t deadline) {
    nshm__wish how = {0, buffer, room, 0};
    return nshm__topic_pin(t, after, &how, w, deadline);
}
static inline int nshm_topic_pin_next(nshm_topic *t, uint64_t after, void *buffer, uint64_t room, nshm_topic_window *w, int64_t deadline) {
    nshm__wish how = {1, buffer, room, 0};
    return nshm__topic_pin(t, after, &how, w, deadline);
}
static inline int nshm_topic_release(nshm_topic *t, nshm_topic_window *w) {
    int place = nshm__topic_signed(t, NSHM_PINNER, w->holder);
    if (!w->holder) return 0;
    if (place < 0 || w->frame >= t->frames) return -EINVAL;
    nshm__topic_let_go(t, w->frame, nshm__place_bit((uint32_t)place));
    w->frame = NSHM_TOPIC_NONE;
    w->holder = 0;
    nshm__topic_unuse(t, NSHM_PINNER, (uint32_t)place);
    return 0;
}
#endif
