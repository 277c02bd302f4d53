/* namedshm/queue_system.h - what a queue needs of its system, which each system gives in files of its own.
 *
 * Everything else of a queue is one code.  These are called by it, and mean the same everywhere:
 *
 *   lock     nshm__queue_introduce, _able, _within      this thread, before it locks
 *            nshm__queue_lock, nshm__queue_unlock       an end's lock; a dead holder's is given up, and nothing needs repair
 *            nshm__queue_sleep, nshm__queue_alert       sleeping until an end's lock is given up, or something else is there
 *            nshm__queue_answerable, _answered          this thread may have got a wake-up that others need
 *            nshm__queue_space, nshm__queue_mix         whether threads of the users can have equal numbers
 *            nshm__queue_nap, nshm_now                  time
 *            nshm__queue_back                           a chunk has memory, before this process touches it
 *   life     nshm__life_begin, nshm__life_end           this process's proof of life
 *            nshm__life_enter                           ... in the queue's table
 *            nshm__queue_lives, nshm__queue_may_tell    whether somebody lives, and whether "dead" is a proof
 *            nshm__forks                                raised in each forked child
 *   make     nshm_queue_create, _open, _close           by name: queue_make.h, queue_make_windows.h
 *   types    nshm_scope, nshm_handle                    types.h, types_windows.h: what callers hold, with these fields everywhere:
 *                                                       scope, size, nonce, data, readonly, created
 *
 * Owns:   nothing.
 * Needs:  queue_life.h, queue_life_windows.h, queue_lock.h, queue_lock_windows.h.
 */
#ifndef NAMEDSHM_PART_QUEUE_SYSTEM_H
#define NAMEDSHM_PART_QUEUE_SYSTEM_H
#ifdef _WIN32
#include "queue_life_windows.h"
#include "queue_lock_windows.h"
#else
#include "queue_life.h"
#include "queue_lock.h"
#endif
#endif
