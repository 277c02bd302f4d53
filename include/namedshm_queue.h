/* namedshm_queue.h - a named, bounded queue of messages between processes, on Linux and Windows, that a killed process cannot break.
 *
 * What:   many producers, many consumers, no message lost; a name and a lifetime like every object of namedshm.h.  Messages are bytes,
 *         copied in and out, or filled and read where they lie.  Uncontended operations make no system call.
 * Why:    queues in shared memory break when a process is killed in the midst: the others wait for it, or messages are lost.
 *         Here a message exists by one store and is taken by one store; locks are given up by the kernel; and who is dead is asked of
 *         the kernel, when something is missing.
 * Not:    fair.  Not ordered between producers: each producer's own messages stay in order.
 *
 * How:    nshm_queue_start start = {1024, 248, 64, 64, 0, 1 << 20};
 *         nshm_queue q;
 *         nshm_queue_window w;
 *         char buffer[248];
 *         nshm_queue_create(&local, "jobs", 4, 0600, -1, 0, &start, &q);
 *         nshm_queue_put(&q, "hello", 5, INT64_MAX);
 *         if (!nshm_queue_take(&q, buffer, sizeof buffer, &w, INT64_MAX)) {
 *             use(w.data, w.length);
 *             nshm_queue_release(&q, &w);
 *         }
 *         nshm_queue_close(&q);                                        (errors are not looked at here)
 *
 * This file has the public functions and what they promise; the parts in namedshm/ have the code and why it is safe:
 *
 *     queue_layout.h   the memory format (docs/format-queue.md)     queue_sweep.h   what the dead left
 *     queue_types.h    what callers hold; limits                    queue_join.h    taking part, and leaving
 *     queue_slots.h    the ring: publishing and moving on           queue_wait.h    waiting
 *     queue_chunks.h   who owns which chunk                         queue_look.h    statistics
 *     queue_format.h   writing the format, and reading it           queue_quick.h   one try that waits for nothing
 *     queue_await.h    what a wait for event loops is for           queue_system.h  what each system has to give, in these:
 *
 *     queue_lock.h     queue_lock_windows.h    the lock of an end, and sleeping on it
 *     queue_life.h     queue_life_windows.h    a process's proof of life
 *     queue_make.h     queue_make_windows.h    making, opening, closing
 *     queue_watch.h    queue_watch_windows.h   for event loops: a thread sleeps for many
 *                      types_windows.h         what callers hold there; on Linux all of namedshm.h
 *
 * Messages up to inline_max bytes lie in the ring's slots; longer ones in chunks of a pool, and so do all messages of a queue with
 * acknowledgement.  Order is given when a message is put, not when its chunk is lent: a loan that is held, stopped or dead stands in
 * nobody's way, and neither does a message that is being read.
 *
 * Deadlines are CLOCK_MONOTONIC nanoseconds as nshm_now() gives them; 0: do not wait; INT64_MAX: for ever.  Functions return 0 (or
 * a count where they say so), or an error:
 *
 *   -EAGAIN    full, empty, or no chunk is free, and the deadline is 0      -ETIMEDOUT  the same until the deadline
 *   -EINTR     a signal handler ran while it waited: call again             -EPIPE      the queue is shut down, or over (NSHM_QUEUE_ENDS)
 *   -EMSGSIZE  longer than message_max, or than the buffer                  -EINVAL     a wrong argument
 *   -ENFILE    as many take part as there is room for                       -EACCES     the handle is read-only
 *   -EBUSY     a process was stopped within an end's lock, for ten seconds  -EDEADLK    called from a signal handler that interrupted one
 *   -EUCLEAN   somebody wrote over the queue                                            of these functions
 *   -EPROTO    a queue of another version of the format                     -ENOSYS     the kernel has no robust lists
 *   -EXDEV     this thread is in another IPC namespace                      and what nshm_create and nshm_open return
 *
 * Windows: the same functions, with namedshm.h's scopes and handles as types_windows.h has them; linked with ntdll and advapi32.  `session`
 * and `may_create` of a scope and `group` of a queue (-1) mean nothing there.  nshm_queue_interrupt(event): waits of this thread end with
 * -EINTR when that event is set; nshm_why(): what GetLastError() said.  Errors that only Linux has have numbers of their own.
 *
 * Threads of a process may use one handle at once; it is closed when all are out.  A forked child may use what it inherited: it takes part
 * as itself.  Loans and messages that were not released are the parent's; the child must not release them.
 *
 * Kills: whatever is killed at any instruction, nothing that was put is lost but what a killed consumer had taken (with acknowledgement
 * nothing is); nothing comes twice (with acknowledgement: only marked so); each producer's order is kept; nothing is torn; nobody is
 * kept waiting; no chunk or entry is lost.  Of what the victim was about: a message is put or not, of several the first ones are.
 * What is left to a sleeper's own look, every NSHM_QUEUE_NAP at the latest: a consumer that was just woken and is killed before it has
 * taken anything, within some sixty instructions in which its own end's lock is pending; one killed after arming the word and before
 * sleeping, while a slower one looks; that all producers were killed.  The messages of a killed consumer, with acknowledgement: within
 * NSHM_QUEUE_GLANCE.  A process that is stopped within an end's lock, some fifty nanoseconds, keeps others waiting until it goes on or dies.
 *
 * On Windows no kernel passes a dead process's wake-up on: also one that died with a producer between publishing and waking is left to the
 * nap, and a dead holder's lock is taken over by who waits for it, after some milliseconds.  A thread that is ended by TerminateThread within
 * a lock keeps it as long as its process lives.
 *
 * Hostile writers: whoever may write a queue can make it useless, and show wrong messages; no access goes out of range, and no call
 * goes on for ever.  A message read where it lies may change under the reader if its producer is hostile: copy what is checked.
 */
#ifndef NAMEDSHM_QUEUE_H
#define NAMEDSHM_QUEUE_H
#ifndef _WIN32
#include "namedshm.h"
#endif
#include "namedshm/queue_types.h"

/* ------------------------------------------------------------------------------------------------ making, opening, closing
 * How many bytes such a queue takes: all of it address space, memory as it is used.  -EINVAL: a wrong number. */
static inline int nshm_queue_size(const nshm_queue_start *start, uint64_t *size);
/* As nshm_create; q->handle.created tells whether it was made.  Opened instead, it is as it is, whatever `start` says. */
static inline int nshm_queue_create(nshm_scope *s, const char *name, size_t n, unsigned mode, int64_t group, int flags,
                                    const nshm_queue_start *start, nshm_queue *q);
/* As nshm_open.  Read-only, it can be looked at. */
static inline int nshm_queue_open(nshm_scope *s, const char *name, size_t n, int flags, nshm_queue *q);
/* Take part as a producer, a consumer or both, before the first put or take does so by itself.  Said again, roles add up. */
static inline int nshm_queue_join(nshm_queue *q, uint32_t roles);
/* Leave and close.  What this handle holds is given up as if it had died. */
static inline void nshm_queue_close(nshm_queue *q);

/* ------------------------------------------------------------------------------------------------ putting
 * A message of `length` bytes, 0 to message_max. */
static inline int nshm_queue_put(nshm_queue *q, const void *data, uint64_t length, int64_t deadline);
/* The first of n messages, and with it as many as there is room for at once: how many.  They stand in a row. */
static inline int nshm_queue_put_many(nshm_queue *q, const void *const *data, const uint64_t *lengths, int n, int64_t deadline);
/* Borrow a chunk of message_max bytes, w->data, to be filled; then put it, or give it back.  After an error in nshm_queue_commit it is
 * still borrowed. */
static inline int nshm_queue_loan(nshm_queue *q, nshm_queue_window *w, int64_t deadline);
static inline int nshm_queue_commit(nshm_queue *q, nshm_queue_window *w, uint64_t length, int64_t deadline);
static inline int nshm_queue_abandon(nshm_queue *q, nshm_queue_window *w);

/* ------------------------------------------------------------------------------------------------ taking
 * The next message: copied to `buffer` if it lies in a slot, else where it lies, to be read only.  `room`: of the buffer; inline_max bytes
 * are always enough.  Each window has to be released; with acknowledgement, that acknowledges the message. */
static inline int nshm_queue_take(nshm_queue *q, void *buffer, uint64_t room, nshm_queue_window *w, int64_t deadline);
/* The first of up to n messages, and with it as many as are there (and fit into the buffer, one behind the other): how many. */
static inline int nshm_queue_take_many(nshm_queue *q, void *buffer, uint64_t room, nshm_queue_window *w, int n, int64_t deadline);
static inline int nshm_queue_release(nshm_queue *q, nshm_queue_window *w);
/* With acknowledgement: the message is done with, and will not come again, whoever dies.  Its bytes stay where they are, as a loan of ours
 * that is not to be put: nshm_queue_abandon gives it back. */
static inline int nshm_queue_acknowledge(nshm_queue *q, nshm_queue_window *w);
/* With acknowledgement: the message is to be delivered again, before others, to whoever comes first. */
static inline int nshm_queue_return(nshm_queue *q, nshm_queue_window *w);

/* ------------------------------------------------------------------------------------------------ shutting down
 * NSHM_QUEUE_DRAIN: nothing more can be put, and taking ends when it is empty.  NSHM_QUEUE_STOP: both end at once.  Everybody who waits
 * is told.  There is no way back. */
static inline int nshm_queue_shut_down(nshm_queue *q, uint32_t how);

/* ------------------------------------------------------------------------------------------------ looking
 * Messages that are there to be taken, about. */
static inline uint32_t nshm_queue_count(const nshm_queue *q);
/* Beside them: messages that were returned, and will be delivered again. */
static inline uint32_t nshm_queue_again(const nshm_queue *q);
/* How it was shut down: 0, or NSHM_QUEUE_DRAIN and NSHM_QUEUE_STOP, or both. */
static inline int nshm_queue_is_shut(const nshm_queue *q);
static inline void nshm_queue_stat(const nshm_queue *q, nshm_queue_statistics *s);
/* The participant in the first used entry at or after *cursor, which begins with 0; -ENOENT at the end. */
static inline int nshm_queue_next_participant(const nshm_queue *q, uint32_t *cursor, nshm_queue_participant *p);

#include "namedshm/queue_look.h"
#ifdef _WIN32
#include "namedshm/queue_make_windows.h"
#include "namedshm/queue_watch_windows.h"
#else
#include "namedshm/queue_make.h"
#include "namedshm/queue_watch.h"
#endif
#include "namedshm/queue_quick.h"

/* ------------------------------------------------------------------------------------------------ the code of these functions */
static inline int nshm_queue_loan(nshm_queue *q, nshm_queue_window *w, int64_t deadline) {
    int r = nshm__queue_ready(q, NSHM_PRODUCER);
    w->chunk = NSHM_QUEUE_NONE;
    if (r || deadline < 0 || !q->chunks) return r ? r : -EINVAL;
    if ((r = nshm__queue_try_loan(q, &w->chunk)) == -EAGAIN) r = nshm__queue_loan_slowly(q, &w->chunk, deadline);
    if (r) {
        w->chunk = NSHM_QUEUE_NONE;
        return r;
    }
    w->data = q->data + w->chunk * q->chunk_size;
    w->length = q->message_max;
    return 0;
}
static inline int nshm__queue_send(nshm_queue *q, nshm_queue_window *w, uint64_t length, int64_t deadline) {
    int r = nshm__queue_try_chunk(q, w->chunk, length, deadline);
    if (r == -EAGAIN) r = nshm__queue_put_slowly(q, NULL, &length, 1, w->chunk, deadline);
    if (!r) w->chunk = NSHM_QUEUE_NONE;
    return r;
}
static inline int nshm_queue_commit(nshm_queue *q, nshm_queue_window *w, uint64_t length, int64_t deadline) {
    int r = nshm__queue_ready(q, NSHM_PRODUCER);
    if (r) return r;
    if (w->chunk >= q->chunks || deadline < 0) return -EINVAL;
    if (length > q->message_max) return -EMSGSIZE;
    if (nshm__peek(&q->chunk[w->chunk].owner, RELAXED) != (q->id | NSHM_PRODUCER)) return -EUCLEAN; /* a forked child, or a scribbler */
    return nshm__queue_send(q, w, length, deadline);
}
static inline int nshm_queue_abandon(nshm_queue *q, nshm_queue_window *w) {
    uint32_t c = w->chunk; /* who has a message that he acknowledged is no producer because of it */
    int r = nshm__queue_ready(q, nshm__peek(&q->roles, RELAXED) & NSHM_CONSUMER ? NSHM_CONSUMER : NSHM_PRODUCER);
    if (r || c >= q->chunks) return r ? r : -EINVAL;
    if (!(r = nshm__queue_give(q, c, NSHM_PRODUCER, 0))) w->chunk = NSHM_QUEUE_NONE;
    return r;
}
static inline int nshm__queue_put_copy(nshm_queue *q, const void *data, uint64_t length, int64_t deadline) {
    nshm_queue_window w;
    int r = nshm_queue_loan(q, &w, deadline);
    if (r) return r;
    if (length) memcpy(w.data, data, length);
    if ((r = nshm__queue_send(q, &w, length, deadline))) nshm_queue_abandon(q, &w);
    return r;
}
static inline int nshm_queue_put_many(nshm_queue *q, const void *const *data, const uint64_t *lengths, int n, int64_t deadline) {
    uint64_t most = q->mode & NSHM_QUEUE_ACK ? 0 : q->inline_max < q->message_max ? q->inline_max : q->message_max;
    int r = nshm__queue_ready(q, NSHM_PRODUCER), k = 0;
    if (r) return r;
    if (n < 1 || deadline < 0) return -EINVAL;
    if (lengths[0] > q->message_max) return -EMSGSIZE;
    if (lengths[0] > most || !most) return (r = nshm__queue_put_copy(q, data[0], lengths[0], deadline)) ? r : 1;
    do k++;
    while (k < n && lengths[k] <= most);
    if ((r = nshm__queue_try_inline(q, data, lengths, k, deadline)) != -EAGAIN) return r;
    return nshm__queue_put_slowly(q, data, lengths, k, NSHM_QUEUE_NONE, deadline);
}
static inline int nshm_queue_put(nshm_queue *q, const void *data, uint64_t length, int64_t deadline) {
    int r = nshm_queue_put_many(q, &data, &length, 1, deadline);
    return r > 0 ? 0 : r;
}
static inline int nshm_queue_take_many(nshm_queue *q, void *buffer, uint64_t room, nshm_queue_window *w, int n, int64_t deadline) {
    int r = nshm__queue_ready(q, NSHM_CONSUMER);
    if (r) return r;
    if (n < 1 || deadline < 0) return -EINVAL;
    if ((r = nshm__queue_try_take(q, buffer, room, w, n, deadline)) != -EAGAIN) return r;
    return nshm__queue_take_slowly(q, buffer, room, w, n, deadline);
}
static inline int nshm_queue_take(nshm_queue *q, void *buffer, uint64_t room, nshm_queue_window *w, int64_t deadline) {
    int r = nshm_queue_take_many(q, buffer, room, w, 1, deadline);
    return r > 0 ? 0 : r;
}
static inline int nshm_queue_release(nshm_queue *q, nshm_queue_window *w) {
    uint32_t c = w->chunk;
    int r;
    w->chunk = NSHM_QUEUE_NONE;
    if (c == NSHM_QUEUE_NONE) return 0;
    if ((r = nshm__queue_ready(q, NSHM_CONSUMER))) return r;
    return c < q->chunks ? nshm__queue_give(q, c, NSHM_CONSUMER, 0) : -EINVAL;
}
static inline int nshm_queue_acknowledge(nshm_queue *q, nshm_queue_window *w) {
    int r = nshm__queue_ready(q, NSHM_CONSUMER);
    if (r || w->chunk >= q->chunks || !(q->mode & NSHM_QUEUE_ACK)) return r ? r : -EINVAL;
    return nshm__queue_settle(q, w->chunk);
}
static inline int nshm_queue_return(nshm_queue *q, nshm_queue_window *w) {
    uint32_t c = w->chunk;
    int r = nshm__queue_ready(q, NSHM_CONSUMER);
    if (r || c >= q->chunks || !(q->mode & NSHM_QUEUE_ACK)) return r ? r : -EINVAL;
    if (!(r = nshm__queue_give(q, c, NSHM_CONSUMER, NSHM__NOBODY | NSHM_CONSUMER))) w->chunk = NSHM_QUEUE_NONE;
    return r;
}
static inline int nshm_queue_shut_down(nshm_queue *q, uint32_t how) {
    nshm_queue_head *h = q->head;
    if (how != NSHM_QUEUE_DRAIN && how != NSHM_QUEUE_STOP) return -EINVAL;
    if (q->handle.readonly) return -EACCES;
    nshm__queue_introduce();
    __atomic_fetch_or(&h->shut, how, __ATOMIC_SEQ_CST);
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* who arms a word after we looked at it sees this: see nshm__queue_sleep */
    nshm__queue_alert(&h->put.lock, INT_MAX);
    nshm__queue_alert(&h->get.lock, INT_MAX);
    nshm__queue_alert(&h->pool.lock, INT_MAX);
    return 0;
}
#endif
