/* namedshm.h - named shared memory with the lifetime of Windows kernel objects, on Linux.
 *
 * What:   create, open, map and close a section by name.  The name goes with its last handle, the memory with its last
 *         handle or view, and the kernel alone does the counting: SIGKILL everybody and nothing is left.
 * Why:    one implementation for Python (the compiled backend includes this file), C and C++, so that there is one protocol
 *         and one place to test it.
 * Not:    a general shared-memory toolkit; no daemon, no file, no sweeping.  Windows has these objects: use them there.
 *
 * How:    nshm_scope local;
 *         nshm_handle frames;
 *         nshm_scope_init(&local, NSHM_LOCAL, getenv("NAMEDSHM_SESSION"), -1, 1);
 *         if (!nshm_open(&local, NSHM_SECTION, "frames", 6, NSHM_READONLY, &frames)) {
 *             use(frames.data, frames.size);
 *             nshm_close(&frames, 0);
 *         }
 *
 * Everything is static: include it in one translation unit (each including unit attaches the registry once).
 * This file has the public functions and what they promise; the parts in namedshm/ have the code and why it is safe:
 *
 *     system.h       what is needed of Linux and the compiler        lock.h       the lock of a registry
 *     layout.h       the memory format (docs/format-linux.md)        places.h     registries as this process has them attached
 *     types.h        what callers hold                               registry.h   finding the registry of a scope, or making it
 *     process.h      what all threads share; the guard               scopes.h     beginning to use a scope, and ending it
 *     users.h        do numbers of users mean the same here?         slots.h      records: reading, finding, tidying
 *     attachments.h  attaching and detaching                         lookup.h     from a name to a handle
 *     segments.h     making segments, asking the kernel about them   spare.h      a token is used again
 *     fork.h         what a forked child must not keep               making.h     a new object
 *     handles.h      create, open, duplicate, close                  parcels.h    handing a handle to another process
 *     naming.h       taking a name away, and giving it to another    look.h       what there is
 *     files.h        where the file of a section is                  freeing.h    freeing a record, also after a death
 *     arrivals.h     waiting until a name appears                 common.h     what is the same on every system
 *
 * Objects, all of them System V shared memory segments marked IPC_RMID while attached (shmctl(2): such a segment lives
 * until its last detachment, and on Linux it can still be attached by id), so exit, exec and SIGKILL all release them:
 *
 *   token     one per object; AN ATTACHMENT OF IT IS A HANDLE and keeps the name (but for nshm_retire and nshm_replace, which take it
 *             away).  Its page is not touched for a section.
 *   data      one per section; AN ATTACHMENT OF IT IS A VIEW or a handle's hold on the memory.
 *   registry  one per scope; every process that holds an object has it attached, so it lives exactly as long as there can be
 *             a name in it.  It is found by scanning the kernel's segment table.  It is an index only: whether an object
 *             lives is decided by attaching its token and comparing what the kernel says of that segment.
 *
 * Scopes: Local is one per user (and session string) and IPC namespace, mode 0600.  Global is one per IPC namespace, writable
 * by root and the group the administrator granted creation to, readable by all; it is for the user namespace that owns the IPC
 * namespace, so that all who use it mean the same users by the same numbers.
 *
 * Death is proved, never guessed.  These prove that an object is dead: the kernel does not know its token's id (EINVAL, EIDRM);
 * the segment of that id has another size, or is not marked for removal, both of which never change; another user made it, where
 * numbers of users can be compared.  And they prove it only if the registry is in this thread's IPC namespace, for ids mean something
 * within one namespace and a thread may have moved to another.  Every other answer, of the kernel, a security module or a sandbox,
 * is "could not tell" (-ESTALE): on its account nothing is freed, taken over or called missing.
 *
 * Errors: functions return 0 or one of these.
 *
 *   -ENOENT    no such name                                  -EINTR    a signal came
 *   -EEXIST    the name is taken                             -EINVAL   a wrong argument
 *   -EACCES    no right to this object                       -ENAMETOOLONG
 *   -EPERM     creation in Global was not granted            -EBADMSG  the name is held by an object of another type
 *   -ENOMEM                                                  -EUCLEAN  a damaged record
 *   -ENOSPC    the kernel's limits: kernel.shmmni, shmall    -ENFILE   the registry is full
 *   -ENOSYS    no System V IPC                               -EPROTO   programs with another version of the format use the scope
 *   -ETIMEDOUT a creator was stopped inside its critical section
 *   -EDEADLK   called from a signal handler that interrupted one of these functions
 *   -EXDEV     Global, and this process is not in the user namespace that owns the IPC namespace
 *   -EUSERS    Local, and the effective user has no number of its own here
 *   -EREMCHG   the effective user is not the scope's any more: initialise another scope
 *   -ENOTUNIQ  the group bits would let in the members of this process's own group as well
 *   -ESTALE    could not tell, and nshm_why() is the errno value that the kernel gave
 */
#ifndef NAMEDSHM_H
#define NAMEDSHM_H
#include "namedshm/types.h"

/* ------------------------------------------------------------------------------------------------ scopes
 * A scope must stay where it is while anything of it is in use.  `session`: NULL or "" for the ordinary one.  `group`: the group that may
 * create in Global, or -1.  `may_create`: may this process create in Global?  Root always may. */
static inline void nshm_scope_init(nshm_scope *s, int global, const char *session, int64_t group, int may_create);
/* Let go of what the scope keeps for its next use: the registry, once no handle needs it, and the spare token.  It can be used
 * again. */
static inline void nshm_scope_release(nshm_scope *s);
/* The scope's registry in this thread's IPC namespace, for diagnostics and tests; with `make` one is made if there is none. */
static inline int nshm_place_of(nshm_scope *s, int make, nshm_place **place);
/* After -ESTALE: the errno value that the kernel gave. */
static inline int nshm_why(void);

/* ------------------------------------------------------------------------------------------------ handles
 * Names are `n` bytes of UTF-8 without prefix, 1 to NSHM_NAME_MAX.  After an error there is nothing to close.
 *
 * Create a named object, or, without NSHM_EXCLUSIVE, open a living one (h->created tells which).  `size`: bytes; NSHM_WORDS_SIZE for a
 * mutex, event or semaphore.  `mode`: permission bits for others (0600: the user alone).  `group`: the group that the group bits mean,
 * or -1.  `props`: NSHM_OBJ_*.  `token_room`: bytes needed in the token, 0 but for sections of files.  `fill`, with its `context`: see
 * nshm_filler; NULL: the memory is all zeros. */
static inline int nshm_create(nshm_scope *s, uint16_t type, const char *name, size_t n, uint64_t size, unsigned mode, int64_t group,
                              uint32_t props, int flags, size_t token_room, nshm_filler fill, void *context, nshm_handle *h);
/* Open a living object.  `flags`: NSHM_READONLY or 0.  It takes no lock, unless a change was under way or a dead record can be
 * freed. */
static inline int nshm_open(nshm_scope *s, uint16_t type, const char *name, size_t n, int flags, nshm_handle *h);
/* An unnamed section: data alone; its attachments are its handles and views. */
static inline int nshm_create_unnamed(nshm_scope *s, uint64_t size, unsigned mode, uint32_t props, nshm_handle *h);
/* Another handle to the same object, never with more access. */
static inline int nshm_duplicate(const nshm_handle *h, int readonly, nshm_handle *to);
/* One more attachment of the data, for a view with other access than the handle's.  NULL with errno. */
static inline void *nshm_attach_data(const nshm_handle *h, int readonly, int executable);
/* Close the handle.  With `keep_data` the attachment of the data stays and is the caller's (a view): munmap it later. */
static inline void nshm_close(nshm_handle *h, int keep_data);
/* Give the name up now, keep the data until nshm_close. */
static inline void nshm_close_name(nshm_handle *h);

/* A caller that can be interrupted before it owns the handle for good (a Python thread that waits for the interpreter's lock)
 * says so: from before nshm_create, nshm_open, nshm_duplicate, nshm_receive or nshm_close until it has seen the result.  If the
 * process forks in between, the child, which has no such caller, drops the handle instead of keeping it for ever. */
static inline void nshm_flight_begin(nshm_handle *h);
static inline void nshm_flight_end(nshm_handle *h);

/* ------------------------------------------------------------------------------------------------ names of living objects
 * Take the name away from the object at once, whoever holds it: the name can be used again, and the object lives on without one until its
 * last handle goes.  Needs a handle with the right to write (of an object that was created read-only: its maker's user), and the right to
 * write the registry: else -EACCES.  -ENOENT: it has no name any more. */
static inline int nshm_retire(nshm_handle *h);
/* Does the name still lead to this object?  0 from the moment on that nshm_retire or nshm_replace took it away.  One load. */
static inline int nshm_named(const nshm_handle *h);
/* A new object that has no name yet, to be filled at leisure, and then given one by nshm_replace.  Arguments as for
 * nshm_create.  If its maker ends before that, it goes like any other. */
static inline int nshm_prepare(nshm_scope *s, uint16_t type, uint64_t size, unsigned mode, int64_t group, uint32_t props, nshm_handle *h);
/* Give a prepared object a name.  An object that has the name loses it in the same step, as by nshm_retire: at no time is there
 * none. -EACCES: the other object may not be written, or its name not be taken away; -EBADMSG: it is of another type; then h is
 * as it was. */
static inline int nshm_replace(nshm_handle *h, const char *name, size_t n);

/* ------------------------------------------------------------------------------------------------ handing a handle over
 * The sender makes a parcel under a name that no user can choose, tells the receiver that name, and keeps `k` until the parcel is claimed.
 * `s` is the Local scope, wherever the object is; `access` is for the receiver, who finds it in the note. */
static inline int nshm_send(nshm_scope *s, const nshm_handle *h, uint32_t access, const char *name, size_t n, int readonly, nshm_parked *k);
/* Where the parcel's nonce is.  It changes when the receiver has the object, and who sleeps on its low half (a shared futex) is
 * woken. */
static inline uint64_t *nshm_parcel_word(const nshm_parked *k);
static inline int nshm_parcel_claimed(const nshm_parked *k);
/* Let go of a parcel, claimed or not.  -EBUSY without `wait`, or -EINTR or -ETIMEDOUT: not done, to be tried again. */
static inline int nshm_unsend(nshm_parked *k, int wait);
/* In a forked child: let go of what the parent keeps.  The record is the parent's. */
static inline void nshm_parked_inherited(nshm_parked *k);
/* Open what the parcel leads to, and take the parcel.  `global`: the scope of Global objects.  -ENOENT: there is none of that
 * name. */
static inline int nshm_receive(nshm_scope *s, nshm_scope *global, const char *name, size_t n, nshm_handle *h, nshm_note *note);

/* ------------------------------------------------------------------------------------------------ looking around
 * The living object in the first used slot at or after *cursor, which begins with 0; -ENOENT at the end.  Attaches nothing.  If it could not
 * be told of one object whether it lives, that is an error, and *cursor has moved past it. */
static inline int nshm_next(nshm_scope *s, uint32_t *cursor, nshm_info *info);
/* What looks like a registry to the kernel, whoever made it, believed or not: the next at or after *cursor, which begins with 0;
 * -ENOENT at the end.  For error texts and administrators.  A segment that may be read is attached for an instant. */
static inline int nshm_next_registry(int *cursor, nshm_registry_facts *facts);

/* ------------------------------------------------------------------------------------------------ waiting for a name
 * Begin, look for the name, sleep if it is not there (`nanoseconds` at most; negative: for a while), end; and again.  What is published
 * after the beginning ends the sleep, or prevents it.  -EINTR: a signal handler ran. */
static inline int nshm_arrivals_begin(nshm_scope *s, nshm_arrivals *a);
static inline int nshm_arrivals_sleep(const nshm_arrivals *a, int64_t nanoseconds);
static inline void nshm_arrivals_end(nshm_arrivals *a);

/* ------------------------------------------------------------------------------------------------ files behind sections
 * For a nshm_filler of an object of mode 0600: `text` of `n` bytes and its end (0) go into the token, which has room for them. */
static inline int nshm_write_location(nshm_handle *h, const char *text, size_t n);
/* The text of an open handle's token.  -EPERM: another user's, not to be followed; -EUCLEAN: no such text. */
static inline int nshm_location(const nshm_handle *h, const char **text, size_t *n);

#include "namedshm/arrivals.h"
#include "namedshm/files.h"
#include "namedshm/look.h"
#include "namedshm/naming.h"
#include "namedshm/parcels.h"
#include "namedshm/scopes.h"
#endif
