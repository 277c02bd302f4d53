/* namedshm_sync.h - named mutexes, events and semaphores, and waits on several of them, on Linux.
 *
 * What:   the waitable kernel objects of Windows, with the names and lifetime of namedshm.h: an object is a token (its name) and
 *         one page of words (its state).  Uncontended operations are one compare-and-swap; sleeping is a shared futex.
 * Why:    abandonment is told by the kernel (the owner's robust list, set_robust_list(2)): no polling, no pids.
 * Not:    fair.  Whoever comes first takes it; a woken waiter may find it taken again and sleeps on.
 *
 * How:    nshm_sync_start start = {NSHM_MUTEX, 0, 0, 0};
 *         nshm_waitee mutex;
 *         nshm_wait_context wait = {};
 *         nshm_create(&local, NSHM_MUTEX, "lock", 4, NSHM_WORDS_SIZE, 0600, -1, 0, 0, 0, nshm_sync_fill, &start, &handle);
 *         nshm_sync_waitee(&handle, NSHM_MUTEX, &mutex);
 *         wait.object[0] = mutex, wait.count = 1, wait.deadline = INT64_MAX;
 *         if (nshm_wait(&wait) >= 0) nshm_mutex_release(&mutex);      (errors are not looked at here)
 *
 * This file has the public functions and what they promise; the parts in namedshm/ have the code and why it is safe:
 *
 *     sync_words.h   the page of an object           sync_semaphore.h  taking and releasing it
 *     sync_types.h   what callers hold; limits       sync_settle.h     what to do after -EBUSY
 *     sync_futex.h   sleeping and waking             sync_object.h     an object of any type
 *     sync_thread.h  what this thread owns           sync_all.h        taking all of several, or none
 *     sync_robust.h  the kernel's list of it         sync_wait.h       waiting
 *     sync_mutex.h   taking and releasing it         sync_watch.h      for event loops
 *     sync_event.h   taking and changing it          sync_make.h       making, using, closing
 *
 * Who owns a mutex is a thread.  Waiting functions return the index of the satisfied object, plus NSHM_ABANDONED if it is a mutex
 * whose owner died, or an error:
 *
 *   -ETIMEDOUT, -EINTR (call again with the same context), -EINVAL
 *   -EPERM   a wait for all with a Global object, without the right to create in Global
 *   -EXDEV   a wait for all with objects from different IPC namespaces
 *   -ENOLCK  this thread owns NSHM_OWNED_MAX mutexes
 *   -ENOSYS  the kernel has no robust lists, or the C library's layout has no room for a mutex
 *   -EUCLEAN somebody wrote over the page
 *
 * Changes (set, reset, pulse, release) never wait: -EBUSY says that somebody's wait for all is deciding.  Call nshm_settle, then try again.
 *
 * Callers: a page stays mapped while any thread is in an operation on it, for it may be what the kernel looks at if that thread dies
 * (robust list, pending word), and the kernel must not find another mapping there.  No operation leaves it pending when it returns.
 * Before a page is unmapped: nshm_sync_keep.
 *
 * Kills: whatever a process holds when it is killed is given up by the kernel.  Whoever owes a wake-up has the word "pending"
 * (list_op_pending of its robust list); if it is killed, the kernel wakes one sleeper instead (handle_futex_death: for a pending word
 * with no thread id in it).  A changer owes one from before its change until it has woken.  Who waits for one object owes one from before
 * its sleep until it has taken the object or, if it can be taken by more, woken the next.  So among waits for one object no wake-up is
 * lost, whoever is killed.
 * What is left: a wake-up, also the kernel's for a dead process, that came to a wait for several (or to a watch) that is killed then; a
 * mutex reserved by a wait for all that died; and a process that is stopped keeps a wake-up to itself.  For these a sleeper looks again
 * every NSHM_NAP.  A wait for all that is killed while it takes its objects has taken what it had taken.
 *
 * Hostile writers: whoever may write an object's page can make that object useless, and no more.  What this process owns, how often,
 * and the links of its robust list are in private memory; nothing read from the page is used as an address or an index.  A word that
 * contradicts what this process knows is -EUCLEAN.
 *
 * PID namespaces: threads of two that share IPC can have the same id.  Who owns a mutex is told apart by what each process knows; but the
 * kernel, asked to give up a pending word, compares thread ids only, and would release the mutex of another thread with the same id.
 * Hence `space`: a mutex used from several is not kept pending where it need not be.  What remains are the few instructions between
 * making a free word pending and having taken it or not, and between releasing it and making it pending no more: whoever is killed
 * exactly there, while another thread with the same id has just taken it.
 *
 * Memory order: docs/format-linux.md has it field by field.  Every change of `state` and `waiters` is sequentially consistent: a
 * sleeper raises `waiters`, then the kernel compares the word; a changer changes the word, then looks at `waiters`.  One of the two
 * sees the other (Dekker).
 */
#ifndef NAMEDSHM_SYNC_H
#define NAMEDSHM_SYNC_H
#include "namedshm.h"
#include "namedshm/sync_types.h"

/* ------------------------------------------------------------------------------------------------ making, opening, closing
 * An nshm_filler for nshm_create; its context is an nshm_sync_start.  A mutex with `initial` is owned by this thread from the start. */
static inline int nshm_sync_fill(nshm_handle *h, void *context);
/* What the operations below work on.  -EUCLEAN: the page is not of that type. */
static inline int nshm_sync_waitee(const nshm_handle *h, uint32_t type, nshm_waitee *o);
/* Before the handle's page is unmapped, with no operation on it under way: is it to stay mapped?  1 while a thread of this
 * process owns the mutex through it; then that thread unmaps it when it releases.  So close with keep_data, and do not unmap it. */
static inline int nshm_sync_keep(const nshm_waitee *o);

/* ------------------------------------------------------------------------------------------------ waiting
 * For one of the objects (all == 0: the lowest signaled index, and only that one is taken), or for all of them (all at one time). */
static inline int nshm_wait(nshm_wait_context *c);
/* Take one object now: 0; NSHM_ABANDONED; -EAGAIN: not signaled; -EBUSY: somebody's wait for all is deciding. */
static inline int nshm_try_once(nshm_waitee *o);
/* The same, but what is not decided after NSHM_BRIEF counts as not signaled: like nshm_wait with deadline 0, but without a
 * context. */
static inline int nshm_try(nshm_waitee *o);
/* After -EBUSY: wait until another try is worth while.  0, -ETIMEDOUT, -EINTR, -EUCLEAN.  `until`: as nshm_now, or INT64_MAX. */
static inline int nshm_settle(nshm_waitee *o, int64_t until);
/* CLOCK_MONOTONIC in nanoseconds, as deadlines are. */
static inline int64_t nshm_now(void);
/* For event loops: one thread sleeps for many waits at once and takes nothing.  The waits were begun before (polled with
 * deadline 0).  Returns when any of them may succeed, or *control is no longer `seen`.  ready[k]: wait k deserves a poll.  0 or
 * -EINVAL. */
static inline int nshm_watch(nshm_wait_context **waits, int count, uint32_t *control, uint32_t seen, unsigned char *ready);

/* ------------------------------------------------------------------------------------------------ changing
 * All of them can return -EBUSY, but nshm_mutex_release.  -EPERM: this thread does not own it.  -EUCLEAN: it did, but somebody wrote over
 * the word; it owns it no more. */
static inline int nshm_mutex_release(const nshm_waitee *o);
/* How often this thread has acquired the mutex and not released it; no call of the system. */
static inline uint32_t nshm_mutex_depth(const nshm_waitee *o);
static inline int nshm_event_set(nshm_waitee *o);
static inline int nshm_event_reset(nshm_waitee *o);
/* Release who waits now (one, if auto-reset), then be nonsignaled.  Unreliable by nature, as Microsoft says of PulseEvent. */
static inline int nshm_event_pulse(nshm_waitee *o);
/* -EOVERFLOW: it would go beyond the maximum, nothing changed.  *previous: the count before. */
static inline int nshm_semaphore_release(nshm_waitee *o, uint32_t n, uint32_t *previous);

#include "namedshm/sync_make.h"
#include "namedshm/sync_wait.h"
#include "namedshm/sync_watch.h"
#endif
