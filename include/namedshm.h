/* namedshm.h - named shared memory with the lifetime of Windows kernel objects, on Linux.
 *
 * What:   create, open, map and close a section by name.  The name goes with its last handle, the memory with its last
 *         handle or view, and the kernel alone does the counting: SIGKILL everybody and nothing is left.
 * Why:    one implementation for Python (the compiled backend includes this file), C and C++, so that there is one protocol
 *         and one place to test it.
 * Not:    a general shared-memory toolkit; no daemon, no file, no sweeping.  Windows has these objects: use them there.
 *
 * Everything is static: include it in one translation unit (each including unit attaches the registry once).
 * The memory format is docs/format-linux.md.  Functions return 0 or a negative errno value; see "Errors" below.
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
 * Death is proved, never guessed.  What proves that an object is dead: the kernel does not know its token's id (EINVAL, EIDRM), or
 * the segment of that id has another size or is not marked for removal, both of which never change; or another user made it, where
 * numbers of users can be compared.  And that only if the registry is where we are: ids mean something within one IPC namespace, and a
 * thread may have moved to another.  Every other answer, of the kernel, a security module or a sandbox, is "could not tell"
 * (-ESTALE): nothing is freed, taken over or called missing on its account.
 *
 * Errors: -ENOENT no such name; -EEXIST; -EACCES no right; -EPERM creation in Global not granted; -EBADMSG the name is held by
 * another type; -ENOSPC segment table full (kernel.shmmni, kernel.shmall); -ENOMEM; -EINVAL; -ENOSYS no System V IPC;
 * -EPROTO programs with another version of the format use the scope; -ENFILE registry full; -ETIMEDOUT a creator was stopped
 * inside its critical section; -EINTR; -EUCLEAN a damaged record; -EDEADLK called from a signal handler that interrupted one of these
 * functions; -EXDEV Global, and this process is not in the user namespace that owns the IPC namespace; -EUSERS Local, and the effective
 * user has no number of its own here; -ENOTUNIQ group bits would let in the members of this process's own group as well; -EREMCHG the effective user is not the scope's: initialise another; -ESTALE could not tell,
 * and nshm_why() is the errno value that the kernel gave.
 */
#ifndef NAMEDSHM_H
#define NAMEDSHM_H
#ifdef _WIN32
#error "namedshm.h is for Linux; on Windows use CreateFileMappingW and its relatives: the objects are the same."
#endif
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <limits.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#if UINTPTR_MAX < UINT64_MAX
#error "namedshm needs a 64-bit system: struct shmid_ds and the registry layout assume it."
#endif
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef SHM_STAT_ANY
#define SHM_STAT_ANY 15
#endif
#ifndef SHM_DEST
#define SHM_DEST 01000
#endif
#ifndef NS_GET_USERNS
#define NS_GET_USERNS _IO(0xb7, 0x1)
#endif

/* Test builds define this to a call that can kill the process at the named step; it is empty otherwise. */
#ifndef NSHM_STEP
#define NSHM_STEP(what) ((void)0)
#endif

/* ------------------------------------------------------------------------------------------------ layout (version 3)
 * Registry segment, SHM_NORESERVE, pages touched as used.  Its size is NSHM_REGISTRY_SIZE and a random number below NSHM_REGISTRY_SPAN
 * more: with its id and its shm_ctime that tells this registry from any other segment, in any IPC namespace, by one IPC_STAT.
 *
 *   offset   size  field       written by                    read without the lock because
 *   0        8     magic       its creator, last (release)   nothing else is looked at before
 *   8        4     version     its creator, before magic     constant
 *   12       4     capacity    its creator, before magic     constant
 *   16       8     session     its creator, before magic     constant
 *   24       8     identity    its creator, before magic     constant
 *   32       4     key         its creator, before magic     constant
 *   36       4     used        under the lock                raised before a slot beyond it is published, lowered past free ones only
 *   40       4     sweep       under the lock                -
 *   44       4     leaving     under the lock                (a slot + 1: its name goes over to `heir`, see nshm_replace; 0: none)
 *   48       4     heir        under the lock                -
 *   52       4     moves       under the lock                raised between the two: a name is at its new slot, its old one is not yet free
 *   4088     4     lock        whoever locks (robust futex)  -
 *   4096     4096  gap         nobody                        each process that may write lays a private page over it: see nshm__lay_gap
 *   8192     4*N   hash[N]     under the lock                0 = free slot; set before the nonce, cleared before it (release)
 *   8192+4N  1152N record[N]   under the lock                nonce validates a copy: see nshm__copy
 */
#define NSHM_MAGIC 0x314c42544d48534eULL /* "NSHMTBL1" */
#define NSHM_VERSION 3u
#define NSHM_CAPACITY 16384u
#define NSHM_NAME_MAX 1036u /* bytes: 259 characters of at most 4 bytes of UTF-8 */
#define NSHM_TOKEN_SPAN 65536u
#define NSHM_TOKEN_ROOM 65536u /* most that a token's page can hold besides: the location of a file */
#define NSHM_REGISTRY_SPAN 1048576u
#define NSHM_SIZE_MAX (1ULL << 62)
#define NSHM_WORDS_SIZE 4096u /* data of a mutex, event or semaphore */

enum { NSHM_SECTION = 1, NSHM_MUTEX = 2, NSHM_EVENT = 3, NSHM_SEMAPHORE = 4, NSHM_PARCEL = 8 };
enum { NSHM_LOCAL = 0, NSHM_GLOBAL = 1 };
/* flags of create and open */
enum { NSHM_READONLY = 1, NSHM_EXCLUSIVE = 2 };
/* properties of an object, fixed at creation */
enum { NSHM_OBJ_READONLY = 1, NSHM_OBJ_EXECUTABLE = 2, NSHM_OBJ_RESERVE = 4, NSHM_OBJ_FILE = 8, NSHM_OBJ_HUGE = 16, NSHM_OBJ_ALL = 31 };

typedef struct {
    uint64_t nonce;      /* 64 random bits, the object's identity; 0 while the record is being filled or is free */
    uint64_t size;       /* bytes of data, exact */
    int32_t token, data; /* segment ids; data is -1 where there is none */
    uint32_t token_size; /* shm_segsz of the token: random, so that a recurring id is told apart without touching a page */
    uint32_t maker;      /* Global: shm_perm.cuid of both segments, as the user namespace that owns the IPC namespace numbers it; Local: 0 */
    uint32_t mode;       /* permission bits of data */
    uint32_t props;      /* NSHM_OBJ_* */
    uint16_t type;       /* NSHM_SECTION...; NSHM_PARCEL and the type of what it carries */
    uint16_t length;     /* of the name, bytes */
    uint32_t hash;
    int64_t born;        /* CLOCK_REALTIME seconds */
    int32_t pid;         /* of the creator, in its PID namespace; for people only */
    uint32_t closing;    /* NSHM__ASKING or NSHM__LEAVING, under the lock: an opener that sees it looks again with the lock */
    char name[1088];     /* UTF-8, without prefix and terminator */
} nshm_record;

typedef struct {
    uint64_t magic;
    uint32_t version, capacity;
    uint64_t session;
    uint64_t identity;
    uint32_t key;
    uint32_t used;
    uint32_t sweep;
    uint32_t leaving, heir, moves;
    char spare[4088 - 56];
    uint32_t lock;
    char end[4];
    char gap[4096];
    uint32_t hash[NSHM_CAPACITY];
    nshm_record record[NSHM_CAPACITY];
} nshm_registry;
#define NSHM_REGISTRY_SIZE sizeof(nshm_registry)

#ifdef __cplusplus
#define NSHM__ASSERT static_assert
#else
#define NSHM__ASSERT _Static_assert
#endif
NSHM__ASSERT(sizeof(nshm_record) == 1152, "registry layout");
NSHM__ASSERT(offsetof(nshm_registry, lock) == 4088 && offsetof(nshm_registry, gap) == 4096, "registry layout");
NSHM__ASSERT(offsetof(nshm_registry, hash) == 8192, "registry layout");

/* A token without an object, kept for this process's next create; touched under the registry's lock and the guard only. */
typedef struct {
    void *at;
    int id;
    size_t size;
} nshm_spare;

struct nshm_place;

/* One scope as this process sees it: whose names, and who is believed. */
typedef struct {
    int global;
    uint32_t uid;           /* effective user at nshm_scope_init; operations of another one are refused */
    uint32_t overflow;      /* the number that users without one seem to have (kernel.overflowuid) */
    uint64_t session;       /* hash of the session string; 0 = the ordinary one */
    int64_t group;          /* Global: the group that may create, or -1 */
    /* Global: may a registry made by this user be believed?  1, 0, or -errno: could not tell.  NULL: root only.  Called with the guard
     * held, so it must not wait for other threads of this process. */
    int (*trusted)(uint32_t uid, int64_t group);
    /* Is this process's effective user alone in that group?  1 or 0; the guard is held.  NULL: not known to be.  See nshm__shmget. */
    int (*alone_in)(uint32_t group);
    int may_create;
    uint64_t seed, count; /* for nshm__nonce */
} nshm_scope;

/* A registry as this process has it attached.  A scope has one, or several: a thread may move to another IPC namespace and come back. */
typedef struct nshm_place {
    nshm_registry *registry;
    nshm_scope *scope;
    int id;
    size_t size;   /* with id and ctime: which segment it is, see nshm__here */
    int64_t ctime;
    int writable, global;
    int users;     /* handles and operations under way */
    int let_go;    /* detach with the last of them */
    nshm_spare spare;
    struct nshm_place *next;
} nshm_place;

/* A handle and its hold on the data.  Owned by the caller; not to be shared by threads without a lock of their own. */
typedef struct nshm_handle {
    nshm_scope *scope;
    nshm_place *place; /* NULL: an unnamed object */
    void *token;       /* NULL: an unnamed object, or the handle is closed */
    void *data;        /* NULL: given away (nshm_close with keep_data), or no data */
    uint64_t size, nonce;
    int token_id, data_id;
    uint32_t slot, mode, props;
    uint16_t type;
    int64_t group;
    size_t token_size;
    int readonly, created;
    struct nshm_handle *flight, **link; /* see nshm_flight_begin; not touched by anything else */
} nshm_handle;

static inline size_t nshm_page_round(uint64_t n) { return (size_t)((n + 4095u) & ~(uint64_t)4095u); }

/* Bytes of the data segment: exact, except that a reserved section's pages are followed by one bit each, set when committed. */
static inline size_t nshm_data_size(uint64_t size, uint32_t props) {
    return props & NSHM_OBJ_RESERVE ? nshm_page_round(size) + nshm_page_round(size) / 4096 / 8 + 1 : (size_t)size;
}
/* Bytes mapped for the data: whole pages, and behind a mutex's words a private page of this process, see nshm__back. */
static inline size_t nshm__span(uint16_t type, uint64_t size, uint32_t props) {
    return nshm_page_round(nshm_data_size(size, props)) + (type == NSHM_MUTEX ? 4096 : 0);
}

static inline uint64_t nshm_hash64(const void *bytes, size_t n) { /* FNV-1a */
    const unsigned char *p = (const unsigned char *)bytes;
    uint64_t h = 14695981039346656037ULL;
    for (size_t i = 0; i < n; i++) h = (h ^ p[i]) * 1099511628211ULL;
    return h;
}
static inline uint32_t nshm__name_hash(const char *name, size_t n) {
    uint64_t h = nshm_hash64(name, n);
    uint32_t k = (uint32_t)(h ^ (h >> 32));
    return k ? k : 1; /* 0 means a free slot */
}

/* ------------------------------------------------------------------------------------------------ this process
 * The guard is held wherever an attachment is on its way into or out of a handle, a place or a spare, and by fork(2): a child gets
 * whole handles only.  Never while waiting: not for a registry's lock, not for another process.  (Order: a registry's lock, then the
 * guard; with the guard held, a registry's lock is only tried.)  fork by other means (_Fork, clone) does not ask. */
static pthread_mutex_t nshm__guard = PTHREAD_MUTEX_INITIALIZER;
static nshm_place *nshm__places;    /* all of this process */
static nshm_handle *nshm__flying;   /* see nshm_flight_begin */
static __thread int nshm__why;      /* what the kernel said when we could not tell */
static __thread int nshm__inside;   /* this thread holds the guard: a signal handler that comes here would wait for itself */

static inline int nshm_why(void) { return nshm__why; }
static inline int nshm__unsure(int e) {
    nshm__why = e;
    return -ESTALE;
}
static inline int nshm__enter(void) {
    if (nshm__inside) return -EDEADLK;
    pthread_mutex_lock(&nshm__guard);
    nshm__inside = 1;
    return 0;
}
static inline void nshm__exit(void) {
    nshm__inside = 0;
    pthread_mutex_unlock(&nshm__guard);
}

/* A caller that gives control to others before it owns the handle for good (a Python thread that waits for the interpreter's lock)
 * says so: if a process forks meanwhile, the child has no such caller, and drops what it would otherwise keep for ever.
 * From before nshm_create, nshm_open, nshm_duplicate, nshm_receive or nshm_close until the caller has seen the result. */
static inline void nshm__take_off(nshm_handle *h) { /* with the guard; so is the next */
    h->flight = nshm__flying;
    h->link = &nshm__flying;
    if (h->flight) h->flight->link = &h->flight;
    nshm__flying = h;
}
static inline void nshm__land(nshm_handle *h) {
    if (h->link) {
        *h->link = h->flight;
        if (h->flight) h->flight->link = h->link;
    }
    h->flight = NULL;
    h->link = NULL;
}
static inline void nshm_flight_begin(nshm_handle *h) {
    pthread_mutex_lock(&nshm__guard);
    nshm__take_off(h);
    pthread_mutex_unlock(&nshm__guard);
}
static inline void nshm_flight_end(nshm_handle *h) {
    pthread_mutex_lock(&nshm__guard);
    nshm__land(h);
    pthread_mutex_unlock(&nshm__guard);
}
static inline void nshm__blank(nshm_handle *h) { memset(h, 0, offsetof(nshm_handle, flight)); }

static inline void nshm__drop(nshm_handle *h);
static inline void nshm__detach(void *p, size_t size);

static inline void nshm__before_fork(void) {
    if (!nshm__inside) pthread_mutex_lock(&nshm__guard);
}
static inline void nshm__after_fork(void) {
    if (!nshm__inside) pthread_mutex_unlock(&nshm__guard);
}
static inline void nshm__in_child(void) {
    for (nshm_handle *h = nshm__flying; h; h = h->flight) nshm__drop(h);
    nshm__flying = NULL;
    for (nshm_place *p = nshm__places; p; p = p->next) { /* the parent's next object may get it: not ours to hold */
        nshm__detach(p->spare.at, p->spare.size);
        p->spare.at = NULL;
    }
    nshm__after_fork();
}

/* Does every user have a number of his own here?  1, 0, or -1: could not tell.  It is so in the initial user namespace; in others,
 * users without a number all look like kernel.overflowuid. */
static inline int nshm__whole(void) {
    char text[4096];
    int fd = open("/proc/self/uid_map", O_RDONLY | O_CLOEXEC), whole = -1;
    if (fd >= 0) {
        ssize_t n = read(fd, text, sizeof text - 1);
        close(fd);
        if (n >= 0) {
            unsigned long long mapped = 0;
            char *p = text, *end;
            text[n] = 0;
            for (; *p; p = end) { /* lines of three numbers: first inside, first outside, how many */
                strtoul(p, &end, 10);
                strtoul(end, &end, 10);
                mapped += strtoul(end, &end, 10);
                if (end == p) break;
                while (*end == '\n') end++;
            }
            return mapped >= 0xffffffffu;
        }
    }
    /* No /proc: a segment of our own can be given to a user that has a number here, to others not (EINVAL).  The last number there
     * is has a user in the initial user namespace alone. */
    struct shmid_ds d;
    int id = shmget(IPC_PRIVATE, 1, IPC_CREAT | SHM_NORESERVE | 0600);
    if (id < 0) return -1;
    void *at = shmat(id, NULL, 0);
    int known = at != (void *)-1 && !shmctl(id, IPC_RMID, NULL) && !shmctl(id, IPC_STAT, &d);
    if (known) {
        d.shm_perm.uid = 0xfffffffeu;
        whole = !shmctl(id, IPC_SET, &d) ? 1 : errno == EINVAL ? 0 : -1;
    } else shmctl(id, IPC_RMID, NULL);
    if (at != (void *)-1) shmdt(at);
    return whole;
}
/* Does this thread's user namespace own its IPC namespace?  1, 0, or -1: could not tell. */
static inline int nshm__owns_ipc(void) {
    struct stat mine, owner;
    int ipc = open("/proc/thread-self/ns/ipc", O_RDONLY | O_CLOEXEC), fd, e;
    if (ipc < 0 || stat("/proc/thread-self/ns/user", &mine)) {
        if (ipc >= 0) close(ipc);
        return nshm__whole() == 1 ? 1 : -1; /* no /proc, no descriptor left */
    }
    fd = ioctl(ipc, NS_GET_USERNS);
    e = errno;
    close(ipc);
    if (fd < 0) return e == EPERM ? 0 : nshm__whole() == 1 ? 1 : -1; /* EPERM: one that contains ours */
    e = fstat(fd, &owner);
    close(fd);
    return e ? -1 : owner.st_ino == mine.st_ino && owner.st_dev == mine.st_dev;
}
static inline int nshm__numbered(const nshm_scope *s) { return s->uid != s->overflow && s->uid != 65534; } /* certainly our own */
/* May numbers of users that the kernel tells this thread be compared with the scope's and its records'?  0 or an error. */
static inline int nshm__numbers(const nshm_scope *s) {
    if ((uint32_t)geteuid() != s->uid) return -EREMCHG;
    if (s->global) return nshm__owns_ipc() == 1 ? 0 : -EXDEV;
    return nshm__numbered(s) || nshm__whole() == 1 ? 0 : -EUSERS;
}

/* ------------------------------------------------------------------------------------------------ segments */
static inline void *nshm__attach(int id, int readonly) { /* NULL with errno */
    void *p = shmat(id, NULL, readonly ? SHM_RDONLY : 0);
    return p == (void *)-1 ? NULL : p;
}
/* The same directly below another attachment, if the place is free: then one munmap(2) ends both (an eighth of open + close). */
static inline void *nshm__attach_below(const void *neighbour, uint64_t size, int id, int readonly) {
    if (neighbour && size <= 1u << 24) {
        void *p = shmat(id, (const char *)neighbour - nshm_page_round(size), readonly ? SHM_RDONLY : 0);
        if (p != (void *)-1) return p;
    }
    return nshm__attach(id, readonly);
}
/* NSHM_OBJ_HUGE: ask for huge pages in this attachment, for advice is per mapping; a kernel without them says no, which is fine.
 * Such data is attached where the kernel chooses, without a neighbour: it chooses a multiple of the huge page. */
static inline void nshm__advise(void *data, uint64_t size, uint32_t props) {
    int e = errno;
    if (data && props & NSHM_OBJ_HUGE) madvise(data, nshm_page_round(size), MADV_HUGEPAGE);
    errno = e;
}
/* Detach by munmap: shmdt(2) searches by address and would also take a neighbour that was split off the same segment. */
static inline void nshm__detach(void *p, size_t size) {
    if (p && size) munmap(p, nshm_page_round(size));
}
static inline int nshm__gone(int e) { return e == EINVAL || e == EIDRM; }

/* What the kernel knows of a segment, with or without the right to read it.  0; -ENOENT: the id is nobody's, which is proof; -ESTALE. */
static inline int nshm__facts(int id, struct shmid_ds *d) {
    static const int masks[] = {0x7fff, 0xffffff}; /* ipc/util.h: bits of the table's index; the second with the boot option ipcmni_extend */
    if (!shmctl(id, IPC_STAT, d)) return 0;
    if (nshm__gone(errno)) return -ENOENT;
    if (errno != EACCES) return nshm__unsure(errno);
    for (int k = 0; k < 2; k++) { /* another user's: by its place in the table */
        int found = shmctl(id & masks[k], SHM_STAT_ANY, d);
        if (found == id) return 0;
        if (found < 0 && !nshm__gone(errno)) return nshm__unsure(errno);
    }
    return -ENOENT; /* the place is another's, or nobody's */
}
/* Is the segment that has this id the one meant?  1 yes; 0 no, which is proof if the registry was seen to be where we are; negative:
 * could not tell.  An attached id cannot recur: asked after attaching, the answer lasts.  *ctime: when it was made. */
static inline int nshm__is(const nshm_scope *s, int id, size_t size, uint32_t maker, int attached, int64_t *ctime) {
    struct shmid_ds d;
    int r = nshm__facts(id, &d);
    *ctime = r ? 0 : (int64_t)d.shm_ctime;
    if (r == -ENOENT) return attached ? nshm__unsure(EIDRM) : 0; /* attached and unknown: somebody between us and the kernel */
    if (r) return r;
    if (d.shm_segsz != size || !(d.shm_perm.mode & SHM_DEST)) return 0;
    if (d.shm_perm.cuid == (s->global ? maker : s->uid)) return 1;
    return (r = nshm__numbers(s)) ? nshm__unsure(-r) : 0; /* a stranger's; unless our view of users has changed */
}
/* Detach what turned out not to be it; its size is the kernel's to tell. */
static inline void nshm__detach_stranger(int id, void *at, size_t size) {
    struct shmid_ds d;
    nshm__detach(at, shmctl(id, IPC_STAT, &d) ? size : d.shm_segsz);
}

/* The robust list node of a mutex lies in the page behind its words, private to this process: the kernel and the C library follow
 * what stands there.  In a forked child it begins as zeros.  `at`: an attachment of exactly one page, which may move (it is detached if
 * this fails: NULL with errno). */
static inline void *nshm__back(void *at) {
    const int prot = PROT_READ | PROT_WRITE, anonymous = MAP_PRIVATE | MAP_ANONYMOUS;
    char *room, *behind = (char *)mmap((char *)at + 4096, 4096, prot, anonymous | MAP_FIXED_NOREPLACE, -1, 0);
    int e;
    if (behind == (char *)at + 4096 && !madvise(behind, 4096, MADV_WIPEONFORK)) return at;
    if (behind != (char *)MAP_FAILED) munmap(behind, 4096);
    room = (char *)mmap(NULL, 8192, prot, anonymous, -1, 0); /* something stands there: both move */
    if (room != (char *)MAP_FAILED && !madvise(room + 4096, 4096, MADV_WIPEONFORK) &&
        mremap(at, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, room) != MAP_FAILED)
        return room;
    e = errno;
    if (room != (char *)MAP_FAILED) munmap(room, 8192);
    nshm__detach(at, 4096);
    errno = e;
    return NULL;
}

#define NSHM_MARK 0100 /* owner-execute: without meaning for shm(2); marks segments of ours */
#define NSHM_FILE_MARK 0010 /* group-execute: from birth on tokens of sections of files, see nshm_location */

/* shmget for a segment whose group bits are to mean `group`.  The kernel counts them for the group that its maker had in effect as well,
 * for good: ipcperms() asks for shm_perm.gid or cgid, and no call changes cgid.  So it has to be made in that group: the thread's effective
 * group is changed for the call where that is allowed (the system call, unlike the C library's function, changes one thread).  Else the
 * maker's own group must have no other member.  -1 with errno, ENOTUNIQ where strangers would be let in. */
static inline int nshm__shmget(const nshm_scope *s, key_t key, size_t size, int extra, int mode, int64_t group) {
    gid_t real, own = getegid(), saved;
    int flags = IPC_CREAT | IPC_EXCL | extra | 0600 | NSHM_MARK, id, e;
    if (group < 0 || !(mode & 070) || own == (gid_t)group) return shmget(key, size, flags);
    /* The way back is open to everybody: to a saved group.  What was saved is put back where that is allowed. */
    if (!getresgid(&real, &own, &saved) && !syscall(SYS_setresgid, (gid_t)-1, (gid_t)group, own)) {
        id = shmget(key, size, flags);
        e = errno;
        if (syscall(SYS_setresgid, (gid_t)-1, own, saved)) syscall(SYS_setresgid, (gid_t)-1, own, (gid_t)-1);
        errno = e;
        return id;
    }
    if (s->alone_in && s->alone_in((uint32_t)own) == 1) return shmget(key, size, flags);
    errno = ENOTUNIQ;
    return -1;
}

/* Rights first, then the mark of removal.  A segment is made for its maker alone (0600): the group that group bits mean is set in the
 * same step as the bits.  Until then nobody else can attach it, and who has it attached keeps it. */
static inline int nshm__finish_segment(int id, int mode, int64_t group) {
    struct shmid_ds d;
    if (mode & 077) {
        if (shmctl(id, IPC_STAT, &d)) return -errno;
        d.shm_perm.mode = (unsigned short)(mode | NSHM_MARK);
        if (group >= 0) d.shm_perm.gid = (gid_t)group;
        if (shmctl(id, IPC_SET, &d)) return -errno;
        NSHM_STEP("segment-opened");
    }
    return shmctl(id, IPC_RMID, NULL) ? -errno : 0;
}

/* shmget + shmat + IPC_RMID.  Under the registry lock, hence the registry's key: what a creator killed between shmget and IPC_RMID
 * left (an id, no page) is found by the next creator of this user and scope, which removes it.  Never more than one. */
static inline int nshm__segment(const nshm_place *p, size_t size, int mode, int extra, int64_t group, const void *neighbour,
                                int *id, void **at) {
    struct shmid_ds d;
    key_t key = (key_t)(p->registry->key | 1);
    int strangers = 0, e;
again:
    NSHM_STEP("segment");
    while ((*id = nshm__shmget(p->scope, key, size, extra, mode, group)) < 0) {
        if (errno != EEXIST) return -errno;
        int old = shmget(key, 0, 0), seen = old < 0 ? -1 : shmctl(old, IPC_STAT, &d);
        if (seen < 0 && (errno == ENOENT || nshm__gone(errno)) && ++strangers < 64) continue; /* it went meanwhile */
        /* Under the lock a keyed segment of ours is a dead creator's, also while it still counts as attached: the kernel gives
         * the lock up before it unmaps a dying process.  To mark it is what its creator was about to do. */
        if (seen == 0 && d.shm_perm.cuid == p->scope->uid && (d.shm_perm.mode & NSHM_MARK) && ++strangers < 64) shmctl(old, IPC_RMID, NULL);
        else key = ++strangers < 8 ? key + 2 : IPC_PRIVATE; /* a stranger sits on our key: it must not stop us */
    }
    NSHM_STEP("segment-made");
    *at = nshm__attach_below(neighbour, size, *id, 0);
    if (!*at) {
        e = errno;
        if (nshm__gone(e) && ++strangers < 64) goto again; /* somebody with another registry (ipcrm) took it for a dead creator's */
        shmctl(*id, IPC_RMID, NULL);
        return -e;
    }
    NSHM_STEP("segment-attached");
    if ((e = nshm__finish_segment(*id, mode, group))) {
        shmctl(*id, IPC_RMID, NULL);
        nshm__detach(*at, size);
        *at = NULL;
    }
    NSHM_STEP("segment-removed");
    return e;
}

/* ------------------------------------------------------------------------------------------------ the registry's lock
 * A futex word holding the owner's thread id, given up by the kernel when the owner dies (set_robust_list(2)).  We enter the
 * word only as list_op_pending of this thread's robust list, for the few microseconds we hold it, so the kernel and libc never
 * follow a pointer out of shared memory.  Every change is published by one store, so a death leaves nothing to repair but the rest of a
 * replacement, which whoever has the lock next does first (nshm__settle).
 * Openers never take it unless a change was under way.  Thread ids of two PID namespaces can be equal: a process killed in the
 * few nanoseconds between "pending" and its failed compare-and-swap, with the owner's number, would free the lock wrongly. */
#ifndef NSHM_LOCK_PATIENCE
#define NSHM_LOCK_PATIENCE 10 /* seconds until a lock whose owner is stopped is reported */
#endif

static inline struct robust_list_head *nshm__robust(uint32_t tid) {
    static __thread struct robust_list_head own;
    struct robust_list_head *head = NULL;
    size_t n;
#ifdef __GLIBC__ /* registers one head per thread at its start, for good; others may change theirs: ask each time */
    static __thread struct robust_list_head *cached;
    static __thread uint32_t cached_for; /* a forked child is another thread, with a head registered anew */
    if (cached_for == tid) return cached;
#else
    (void)tid;
#endif
    if (syscall(SYS_get_robust_list, 0, &head, &n) || !head) { /* a libc that registers none until asked (musl) */
        own.list.next = &own.list;
        own.futex_offset = -32; /* the list node stands beside the word, not on it */
        own.list_op_pending = NULL;
        head = syscall(SYS_set_robust_list, &own, sizeof own) ? NULL : &own;
    }
#ifdef __GLIBC__
    cached = head;
    cached_for = tid;
#endif
    return head;
}
static inline struct robust_list *nshm__node(const struct robust_list_head *r, uint32_t *word) {
    return (struct robust_list *)((char *)word - r->futex_offset);
}
static inline void nshm__pend(struct robust_list_head *r, uint32_t *word) {
    if (!r) return;
    struct robust_list *node = word ? nshm__node(r, word) : NULL;
    /* Read by the kernel when this thread ends, on this thread: program order is all it needs. */
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    *(struct robust_list *volatile *)&r->list_op_pending = node;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}
static __thread struct robust_list_head *nshm__held; /* between lock and unlock of one thread */

static inline void nshm__settle(nshm_registry *t);

static inline int nshm__lock(nshm_registry *t, int wait) {
    uint32_t me = (uint32_t)syscall(SYS_gettid), waiters = 0;
    struct robust_list_head *r = nshm__held = nshm__robust(me);
    struct timespec start = {0, 0}, now, pause = {0, 100000000};
    for (int spins = 0;;) {
        uint32_t v = __atomic_load_n(&t->lock, __ATOMIC_RELAXED);
        if (!(v & FUTEX_TID_MASK) || (v & FUTEX_OWNER_DIED)) { /* free, its sleepers perhaps not yet awake; or its owner died */
            uint32_t mine = me | waiters | (v & FUTEX_WAITERS);
            nshm__pend(r, &t->lock);
            if (__atomic_compare_exchange_n(&t->lock, &v, mine, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
                NSHM_STEP("locked");
                if (t->leaving) nshm__settle(t); /* its maker was killed: before anybody changes anything */
                return 0;
            }
            nshm__pend(r, NULL);
            continue;
        }
        if (!wait) return -EBUSY;
        if ((v & FUTEX_TID_MASK) == me && r && r->list_op_pending == nshm__node(r, &t->lock)) return -EDEADLK; /* in a signal handler */
        if (spins++ < 40) { sched_yield(); continue; } /* the section is shorter than a sleep and a wake-up */
        if (!(v & FUTEX_WAITERS) &&
            !__atomic_compare_exchange_n(&t->lock, &v, v | FUTEX_WAITERS, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            continue;
        waiters = FUTEX_WAITERS; /* others may sleep as well: whoever was woken keeps the mark */
        if (syscall(SYS_futex, &t->lock, FUTEX_WAIT, v | FUTEX_WAITERS, &pause, NULL, 0) && errno == EINTR) return -EINTR;
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (!start.tv_sec) start = now;
        if (now.tv_sec - start.tv_sec > NSHM_LOCK_PATIENCE) return -ETIMEDOUT;
    }
}
static inline void nshm__unlock(nshm_registry *t) {
    NSHM_STEP("unlocking");
    if (__atomic_exchange_n(&t->lock, 0, __ATOMIC_RELEASE) & FUTEX_WAITERS) syscall(SYS_futex, &t->lock, FUTEX_WAKE, 1, NULL, NULL, 0);
    nshm__pend(nshm__held, NULL);
}

/* ------------------------------------------------------------------------------------------------ finding the registry
 * At most one living registry per scope.  Phases, with the race each closes:
 *   1. scan the kernel's table; a ripe one (magic set) is adopted.
 *   2. none: attach a candidate of our own, mark it IPC_RMID (a kill in between leaves an id without a page that step 1 of a
 *      later process removes once its creator is dead), then write its session.
 *   3. scan again.  Alone -> set magic: it is the registry.  Not alone -> the lowest id stays and scans again, the others drop
 *      theirs and start over.  Two candidates cannot both find themselves alone: each scans after marking and writing, so the
 *      one that scans later sees the other.  A candidate that turned ripe is never dropped.
 * A segment in the table that we are not allowed to look at may be the registry: then nothing is concluded, and none is made.
 * All of it with the guard held, except naps. */
static inline int nshm__registry_perm(const nshm_scope *s) { return s->global ? (s->group >= 0 ? 0664 : 0644) : 0600; }

/* Is the place's registry the segment of that id in this thread's IPC namespace?  1 yes, 0 no, negative could not tell. */
static inline int nshm__here(const nshm_place *p) {
    struct shmid_ds d;
    if (!shmctl(p->id, IPC_STAT, &d)) return d.shm_segsz == p->size && d.shm_ctime == p->ctime && (d.shm_perm.mode & SHM_DEST);
    return nshm__gone(errno) || errno == EACCES ? 0 : nshm__unsure(errno);
}
static inline int nshm__registry_sized(size_t n) { return n >= NSHM_REGISTRY_SIZE && n < NSHM_REGISTRY_SIZE + NSHM_REGISTRY_SPAN; }

typedef struct { /* what a scan found */
    nshm_registry *registry; /* ripe, attached; NULL: none */
    struct shmid_ds d;
    int id, rivals, lowest, forbidden;
} nshm__scanned;

static inline int nshm__believed(const nshm_scope *s, uint32_t maker) { /* 1, 0 or an error */
    if (!s->global) return maker == s->uid;
    if (!maker || (maker == s->uid && s->may_create)) return 1;
    int r = s->trusted ? s->trusted(maker, s->group) : 0;
    return r < 0 ? nshm__unsure(-r) : r;
}
static inline int nshm__scan(nshm_scope *s, int own, int writable, nshm__scanned *f) {
    struct shminfo info;
    struct shmid_ds d;
    int max, r;
    memset(f, 0, sizeof *f);
    f->lowest = own;
    f->id = -1;
    if ((max = shmctl(0, IPC_INFO, (struct shmid_ds *)&info)) < 0) return -errno;
    for (int i = 0; i <= max; i++) {
        int id = shmctl(i, SHM_STAT_ANY, &d);
        if (id < 0) {
            if (nshm__gone(errno)) continue;
            return errno == ENOSYS ? -ENOSYS : nshm__unsure(errno);
        }
        if (id == own || !nshm__registry_sized(d.shm_segsz) || !(d.shm_perm.mode & NSHM_MARK)) continue;
        if (s->global != !!(d.shm_perm.mode & 0044)) {
            /* Global's get their bits before the mark of removal: one without either may be anybody's, and its maker looks after us */
            if ((d.shm_perm.mode & SHM_DEST) || d.shm_perm.cuid != s->uid) continue;
        }
        if ((r = nshm__believed(s, d.shm_perm.cuid)) <= 0) {
            if (r) return r;
            continue; /* a registry planted by somebody without the right is nobody's */
        }
        if (!(d.shm_perm.mode & SHM_DEST)) {
            /* Its creator has not marked it yet: it will scan after that and see us.  Not attached by us even to look (reading
             * would give it a page).  Unless its creator was killed here. */
            if (d.shm_perm.cuid == s->uid && !d.shm_nattch && ((kill(d.shm_cpid, 0) && errno == ESRCH) || time(NULL) - d.shm_ctime > 5))
                shmctl(id, IPC_RMID, NULL);
            continue;
        }
        if (!d.shm_nattch) continue;
        nshm_registry *t = (nshm_registry *)nshm__attach(id, !writable);
        if (!t) {
            if (nshm__gone(errno)) continue;
            if (errno != EACCES) return errno == ENOMEM ? -ENOMEM : nshm__unsure(errno);
            if (!s->global) return nshm__unsure(EACCES); /* our own, and kept from us */
            t = writable ? (nshm_registry *)nshm__attach(id, 1) : NULL; /* another session's is not in our way */
            int other = t && t->session != s->session;
            if (t) nshm__detach_stranger(id, t, d.shm_segsz);
            if (other) continue;
            f->forbidden = 1; /* Global without the right to create */
            f->rivals++;
            continue;
        }
        size_t size = d.shm_segsz;
        if (shmctl(id, IPC_STAT, &d)) { /* attached, so it exists, whatever this says */
            r = errno;
            nshm__detach(t, size);
            return nshm__unsure(r);
        }
        if (!nshm__registry_sized(d.shm_segsz) || !(d.shm_perm.mode & SHM_DEST) || nshm__believed(s, d.shm_perm.cuid) <= 0) {
            nshm__detach(t, d.shm_segsz); /* the id recurred between two looks */
            i--;
            continue;
        }
        uint64_t magic = __atomic_load_n(&t->magic, __ATOMIC_ACQUIRE);
        if (t->session == s->session && magic == NSHM_MAGIC) {
            if (t->version == NSHM_VERSION && t->capacity == NSHM_CAPACITY) {
                f->registry = t;
                f->d = d;
                f->id = id;
                return 0;
            }
            nshm__detach(t, d.shm_segsz);
            return -EPROTO; /* two registries of one scope would be two worlds, unknown to each other */
        }
        if (t->session == s->session) {
            f->rivals++;
            if (id < f->lowest || f->lowest < 0) f->lowest = id;
        }
        nshm__detach(t, d.shm_segsz);
    }
    return 0;
}

/* Who holds two registries' locks has one of them in its robust list (see nshm__try_all of namedshm_sync.h), whose node lies behind the
 * lock word: in a page of this process's own. */
static inline int nshm__lay_gap(nshm_registry *t) {
    void *at = mmap(t->gap, sizeof t->gap, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    return at == MAP_FAILED ? -errno : 0;
}

/* The place of a registry just attached: one that this process has already (then `t` is let go), or a new one. */
static inline int nshm__settle_place(nshm_scope *s, nshm_registry *t, int id, const struct shmid_ds *d, int writable, nshm_place **place) {
    for (nshm_place *p = nshm__places; p; p = p->next)
        if (p->scope == s && p->id == id && p->size == d->shm_segsz && p->registry->identity == t->identity) {
            /* somebody changed its ctime: an administrator's IPC_SET */
            p->ctime = (int64_t)d->shm_ctime;
            nshm__detach(t, p->size);
            *place = p;
            return 0;
        }
    nshm_place *p = (nshm_place *)calloc(1, sizeof *p);
    int r = !p ? -ENOMEM : writable ? nshm__lay_gap(t) : 0;
    if (r) {
        free(p);
        nshm__detach(t, d->shm_segsz);
        return r;
    }
    p->registry = t;
    p->scope = s;
    p->global = s->global;
    p->id = id;
    p->size = d->shm_segsz;
    p->ctime = (int64_t)d->shm_ctime;
    p->writable = writable;
    p->next = nshm__places;
    nshm__places = p;
    *place = p;
    return 0;
}

#ifndef NSHM_REGISTRY_ROUNDS
#define NSHM_REGISTRY_ROUNDS 25000 /* of 0.2 ms and more: about 10 s until a stopped rival is reported */
#endif
static inline void nshm__step_aside(void) { /* others may fork meanwhile */
    struct timespec nap = {0, 200000};
    nshm__exit();
    nanosleep(&nap, NULL);
    nshm__enter();
}
/* A candidate: attached, marked, and telling its session.  0; -EAGAIN: taken for a dead creator's. */
static inline int nshm__candidate(nshm_scope *s, nshm_handle *own) {
    uint64_t random[2];
    ssize_t n;
    int r;
    while ((n = getrandom(random, sizeof random, 0)) != sizeof random)
        if (n < 0 && errno != EINTR) return -errno;
    own->token_size = NSHM_REGISTRY_SIZE + random[0] % NSHM_REGISTRY_SPAN;
    NSHM_STEP("registry");
    own->token_id = nshm__shmget(s, IPC_PRIVATE, own->token_size, SHM_NORESERVE, nshm__registry_perm(s), s->group);
    if (own->token_id < 0) return -errno;
    NSHM_STEP("registry-made");
    nshm_registry *t = (nshm_registry *)(own->token = nshm__attach(own->token_id, 0));
    if (!t) {
        r = -errno;
        shmctl(own->token_id, IPC_RMID, NULL);
        return nshm__gone(-r) ? -EAGAIN : r;
    }
    NSHM_STEP("registry-attached");
    if ((r = nshm__finish_segment(own->token_id, nshm__registry_perm(s), s->group))) {
        shmctl(own->token_id, IPC_RMID, NULL);
        nshm__drop(own);
        return r;
    }
    NSHM_STEP("registry-removed"); /* only now pages may be touched: a kill frees them */
    t->session = s->session;
    t->version = NSHM_VERSION;
    t->capacity = NSHM_CAPACITY;
    t->identity = random[1] ? random[1] : 1;
    /* The same for all who use this registry, whatever number its user has in their user namespaces. */
    uint64_t seed[3] = {s->uid, s->session, (uint64_t)s->global}, h = nshm_hash64(seed, sizeof seed);
    t->key = (uint32_t)(h ^ (h >> 32)) | 0x40000001u;
    t->sweep = 256;
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* our session is to be seen by whoever scans after us */
    return 0;
}

/* With the guard: the scope's registry in this thread's IPC namespace.  -ENOENT if there is none and `make` is 0. */
static inline int nshm__registry(nshm_scope *s, int make, nshm_place **place) {
    nshm__scanned f;
    int r;
    *place = NULL;
    if (make && (uint32_t)geteuid() != s->uid) return -EREMCHG; /* (who opens is judged by the kernel) */
    for (nshm_place *p = nshm__places; p; p = p->next) {
        if (p->scope != s) continue;
        if ((r = nshm__here(p)) < 0) return r;
        if (!r) continue;
        if (make && s->global && (r = nshm__numbers(s))) return r; /* we are about to write ours */
        if (!s->global && !nshm__numbered(s) && (r = nshm__numbers(s))) return r;
        p->let_go = 0;
        *place = p;
        return make && !p->writable ? -EPERM : 0;
    }
    if ((r = nshm__numbers(s))) return r;
    int writable = !s->global || s->may_create || s->uid == 0, taken = 0;
    for (int round = 0; round < NSHM_REGISTRY_ROUNDS; round++) {
        if ((r = nshm__scan(s, -1, writable, &f))) return r;
        if (f.registry) {
            if ((r = nshm__settle_place(s, f.registry, f.id, &f.d, writable, place))) return r;
            return make && !writable ? -EPERM : 0;
        }
        if (f.forbidden && writable && round > 50) { /* not a candidate whose group is about to be set: made before the grant */
            if (make) return -EPERM;
            writable = 0;
            continue;
        }
        if (f.forbidden && !writable && round > 50) return nshm__unsure(EACCES);
        if (f.rivals) {
            nshm__step_aside();
            continue;
        }
        if (!make) return -ENOENT;
        if (!writable) return -EPERM;
        nshm_handle own;
        memset(&own, 0, sizeof own);
        nshm__take_off(&own); /* a child forked during a nap must not keep a candidate that nobody decides about */
        if ((r = nshm__candidate(s, &own)) == -EAGAIN && ++taken > 64) r = nshm__unsure(EIDRM);
        if (!r) {
            nshm_registry *t = (nshm_registry *)own.token;
            for (r = -ETIMEDOUT; round < NSHM_REGISTRY_ROUNDS; round++, nshm__step_aside(), r = -ETIMEDOUT) {
                if ((r = nshm__scan(s, own.token_id, writable, &f)) || f.registry) break; /* an error, or somebody else's turned ripe */
                if (!f.rivals && (shmctl(own.token_id, IPC_STAT, &f.d) ? (r = nshm__unsure(errno)) : 1)) {
                    NSHM_STEP("registry-alone");
                    if (r) break;
                    __atomic_store_n(&t->magic, NSHM_MAGIC, __ATOMIC_RELEASE);
                    NSHM_STEP("registry-ripe");
                    own.token = NULL;
                    f.registry = t;
                    f.id = own.token_id;
                    break;
                }
                r = -EAGAIN;
                if (f.lowest != own.token_id) break;
            }
            nshm__drop(&own);
        }
        nshm__land(&own);
        if (f.registry && (!r || r == -EAGAIN)) {
            if ((r = nshm__settle_place(s, f.registry, f.id, &f.d, writable, place))) return r;
            return make && !writable ? -EPERM : 0;
        }
        if (r && r != -EAGAIN) return r;
        nshm__step_aside();
    }
    return -ETIMEDOUT;
}
static inline void nshm__forget(nshm_place *p) { /* nobody uses it any more */
    nshm_place **link = &nshm__places;
    while (*link != p) link = &(*link)->next;
    *link = p->next;
    nshm__detach(p->spare.at, p->spare.size);
    nshm__detach(p->registry, p->size);
    free(p);
}
static inline void nshm__done_with(nshm_place *p) { /* with the guard: a handle or an operation is done with it */
    if (p && !--p->users && p->let_go) nshm__forget(p);
}

/* The scope's registry in this thread's IPC namespace, for diagnostics and tests; with `make` one is made if there is none. */
static inline int nshm_place_of(nshm_scope *s, int make, nshm_place **place) {
    int r = nshm__enter();
    if (r) return r;
    r = nshm__registry(s, make, place);
    nshm__exit();
    return r;
}

/* `session`: NULL or "" for the ordinary one.  `may_create`: Global only; root always may. */
static inline void nshm_scope_init(nshm_scope *s, int global, const char *session, int64_t group, int may_create) {
    static int once;
    char text[16];
    int fd = open("/proc/sys/kernel/overflowuid", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    if (fd >= 0) close(fd);
    memset(s, 0, sizeof *s);
    text[n > 0 ? n : 0] = 0;
    s->overflow = n > 0 ? (uint32_t)strtoul(text, NULL, 10) : 65534;
    s->global = global;
    s->uid = (uint32_t)geteuid();
    s->session = session && *session ? nshm_hash64(session, strlen(session)) : 0;
    s->group = global ? group : -1;
    s->may_create = !global || may_create || s->uid == 0;
    if (!__atomic_exchange_n(&once, 1, __ATOMIC_SEQ_CST)) pthread_atfork(nshm__before_fork, nshm__after_fork, nshm__in_child);
}
/* Let go of what the scope has for its next use: the registry, once no handle needs it, and the spare token.  It can be used again. */
static inline void nshm_scope_release(nshm_scope *s) {
    nshm_place *p, *next;
    if (nshm__enter()) return;
    for (p = nshm__places; p; p = next) {
        next = p->next;
        if (p->scope != s) continue;
        nshm__detach(p->spare.at, p->spare.size);
        p->spare.at = NULL;
        p->let_go = 1;
        if (!p->users) nshm__forget(p);
    }
    nshm__exit();
}

/* ------------------------------------------------------------------------------------------------ slots */
/* A record may be read while it is written: its nonce tells whether what was read is whole.  So both sides access it by relaxed atomic
 * words; plain accesses would be undefined, and a compiler free to make them in pieces, or twice. */
typedef uint64_t __attribute__((may_alias)) nshm__word;
static inline void nshm__put(void *shared, const void *from, size_t n) { /* up to the next word is written: with zeros */
    for (size_t k = 0; k < n; k += 8) {
        uint64_t word = 0;
        memcpy(&word, (const char *)from + k, n - k < 8 ? n - k : 8);
        __atomic_store_n((nshm__word *)((char *)shared + k), word, __ATOMIC_RELAXED);
    }
}
static inline void nshm__get(void *to, const void *shared, size_t n) {
    for (size_t k = 0; k < n; k += 8) {
        uint64_t word = __atomic_load_n((const nshm__word *)((const char *)shared + k), __ATOMIC_RELAXED);
        memcpy((char *)to + k, &word, n - k < 8 ? n - k : 8);
    }
}
static inline int nshm__same(const char *shared, const char *mine, size_t n) {
    for (size_t k = 0; k < n; k += 8) {
        uint64_t word = __atomic_load_n((const nshm__word *)(shared + k), __ATOMIC_RELAXED);
        if (memcmp(&word, mine + k, n - k < 8 ? n - k : 8)) return 0;
    }
    return 1;
}
/* The first 64 bytes of a record are its facts, validated by the nonce: it is cleared before a record changes and set last. */
static inline int nshm__copy(const nshm_record *r, nshm_record *facts) {
    uint64_t n = __atomic_load_n(&r->nonce, __ATOMIC_ACQUIRE);
    if (!n) return 0;
    nshm__get(facts, r, offsetof(nshm_record, name));
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return __atomic_load_n(&r->nonce, __ATOMIC_RELAXED) == n && facts->nonce == n && facts->length <= NSHM_NAME_MAX;
}
static inline uint32_t nshm__used(const nshm_registry *t) {
    uint32_t n = __atomic_load_n(&t->used, __ATOMIC_ACQUIRE);
    return n <= NSHM_CAPACITY ? n : NSHM_CAPACITY;
}
/* The slot of a name, from `from` on; facts get a consistent copy of its record.  -1: none.  Without a lock: a name that is
 * there throughout is found, because a record never moves; a name does, by nshm_replace, and then `moves` has changed. */
static inline int nshm__find(const nshm_registry *t, uint32_t from, uint32_t hash, const char *name, size_t n, nshm_record *facts) {
    uint32_t used = nshm__used(t);
    for (uint32_t i = from; i < used; i++) {
        if (__atomic_load_n(&t->hash[i], __ATOMIC_ACQUIRE) != hash) continue;
        const nshm_record *r = &t->record[i];
        if (!nshm__copy(r, facts) || facts->length != n || !nshm__same(r->name, name, n)) continue;
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (__atomic_load_n(&r->nonce, __ATOMIC_RELAXED) == facts->nonce) return (int)i;
    }
    return -1;
}
/* under the lock */
static inline void nshm__free(nshm_registry *t, uint32_t slot) {
    __atomic_store_n(&t->hash[slot], 0, __ATOMIC_RELEASE);
    NSHM_STEP("freeing");
    __atomic_store_n(&t->record[slot].nonce, 0, __ATOMIC_RELEASE);
    uint32_t used = nshm__used(t);
    while (used && !t->hash[used - 1]) used--; /* keep the scan short */
    __atomic_store_n(&t->used, used, __ATOMIC_RELEASE);
}
/* Under the lock: end a replacement, one's own or a killed process's.  The heir's slot was free before: if there is a record in it, the
 * name is the heir's, and the other's goes; else nothing has happened.  To do it again changes nothing. */
static inline void nshm__settle(nshm_registry *t) {
    uint32_t old = t->leaving - 1, heir = t->heir;
    if (old < NSHM_CAPACITY && heir < NSHM_CAPACITY) {
        if (t->hash[heir] && t->record[heir].nonce) {
            __atomic_store_n(&t->moves, t->moves + 1, __ATOMIC_RELEASE); /* who has passed the heir's slot before is to look again ... */
            NSHM_STEP("moved");
            nshm__free(t, old); /* ... when it comes to this one and it is free */
        }
        __atomic_store_n(&t->record[old].closing, 0, __ATOMIC_SEQ_CST);
    }
    __atomic_store_n(&t->leaving, 0, __ATOMIC_RELEASE);
}
/* Can this be a record?  Whoever may write a registry could have written anything; what is believed of it is what the kernel says
 * of the segments, and nothing else is used before this was asked. */
static inline int nshm__sound(const nshm_record *f) {
    if (f->token < 0 || !f->token_size || f->token_size > NSHM_TOKEN_SPAN + NSHM_TOKEN_ROOM || !f->length || f->length > NSHM_NAME_MAX ||
        (f->mode & ~0666u) || (f->props & ~(uint32_t)NSHM_OBJ_ALL))
        return 0;
    switch (f->type & ~NSHM_PARCEL) {
    case NSHM_SECTION: return f->size && f->size <= NSHM_SIZE_MAX && (f->props & NSHM_OBJ_FILE ? f->data == -1 : f->data >= 0);
    case NSHM_MUTEX:
    case NSHM_EVENT:
    case NSHM_SEMAPHORE: return f->size == NSHM_WORDS_SIZE && f->data >= 0 && !f->props;
    default: return 0;
    }
}
/* Does the object of this record live?  1, 0 (proved dead), or negative: could not tell. */
static inline int nshm__lives(const nshm_scope *s, const nshm_record *r) {
    int64_t ctime;
    return nshm__is(s, r->token, r->token_size, r->maker, 0, &ctime);
}

/* Under the lock: a free slot.  Dead ones (of killed holders) are collected when the table has grown to twice of what lived at the
 * last collection, so that it costs each creator the same in the long run. */
static inline int nshm__slot(const nshm_scope *s, nshm_registry *t) {
    uint32_t used = nshm__used(t), living = 0, i;
    for (i = 0; i < used; i++)
        if (!t->hash[i]) return (int)i;
    if (used >= t->sweep || used == NSHM_CAPACITY) {
        for (i = used; i-- > 0;) {
            if (nshm__lives(s, &t->record[i]) == 0) nshm__free(t, i);
            else living++;
        }
        t->sweep = living < 128 ? 256 : living * 2;
        used = nshm__used(t);
        for (i = 0; i < used; i++)
            if (!t->hash[i]) return (int)i;
    }
    if (used >= NSHM_CAPACITY) return -ENFILE;
    return (int)used;
}
/* Free the slot of an object that was seen dead, if it still is that object's and no creator is at work: a dead entry is harmless. */
static inline void nshm__tidy(nshm_place *p, uint32_t slot, uint64_t nonce) {
    nshm_registry *t = p->registry;
    if (!p->writable || slot >= NSHM_CAPACITY || __atomic_load_n(&t->record[slot].nonce, __ATOMIC_RELAXED) != nonce) return;
    if (nshm__lock(t, 0)) return;
    if (t->record[slot].nonce == nonce && nshm__here(p) == 1 && nshm__lives(p->scope, &t->record[slot]) == 0) nshm__free(t, slot);
    nshm__unlock(t);
}

/* ------------------------------------------------------------------------------------------------ handles
 * The data's attachment, below the token's.  A mutex's gets its private page, between them, once it is known to be what it should be. */
static inline const void *nshm__neighbour(uint16_t type, uint32_t props, const void *token) {
    if (!token || props & NSHM_OBJ_HUGE) return NULL;
    return type == NSHM_MUTEX ? (const char *)token - 4096 : token;
}
static inline void *nshm__attach_data(uint16_t type, uint64_t size, uint32_t props, int id, int readonly, const void *token) {
    return nshm__attach_below(nshm__neighbour(type, props, token), nshm_data_size(size, props), id, readonly || (props & NSHM_OBJ_READONLY));
}
static inline int nshm__place_data(uint16_t type, uint64_t size, uint32_t props, void **data) {
    if (type == NSHM_MUTEX) return (*data = nshm__back(*data)) ? 0 : -errno;
    nshm__advise(*data, size, props);
    return 0;
}
/* Marks of a record, set with the lock; who finds one with the lock held knows that its maker has died. */
enum {
    NSHM__ASKING = 1, /* a closer asks whether it is the last: see nshm__recycle */
    NSHM__LEAVING = 2 /* its name is about to be another object's: see nshm_replace */
};
/* What is known while a record is followed.  Most opens need no question about the registry itself: the segments answer it. */
enum {
    NSHM__ANYWHERE, /* perhaps the registry is not in this thread's IPC namespace: what fails says nothing */
    NSHM__HERE,     /* seen to be */
    NSHM__LOCKED    /* and locked */
};
/* Attach what the facts name.  -ENOENT: dead.  The kernel decides: a token that can be attached is held by somebody. */
static inline int nshm__adopt(nshm_place *p, const nshm_record *f, uint32_t slot, int readonly, int known, nshm_handle *h) {
    const nshm_scope *s = p->scope;
    const nshm_record *now = &p->registry->record[slot];
    size_t size = nshm_data_size(f->size, f->props);
    uint16_t type = f->type & (uint16_t)~NSHM_PARCEL;
    int64_t made;
    int e;
    void *token = nshm__attach(f->token, 1), *data = NULL;
    NSHM_STEP("adopt-token");
    if (!token) {
        e = errno;
        if (nshm__gone(e)) return -ENOENT;
        if (e != EACCES) return e == ENOMEM ? -ENOMEM : nshm__unsure(e);
        e = nshm__lives(s, f);
        return e > 0 ? -EACCES : e ? e : -ENOENT;
    }
    if ((e = nshm__is(s, f->token, f->token_size, f->maker, 1, &made)) <= 0) {
        nshm__detach_stranger(f->token, token, f->token_size);
        return e ? e : -ENOENT;
    }
    /* From here on nshm__recycle cannot find itself alone.  If it did before, it has said so in the record by now. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    /* `closing` before `nonce`: 0 means before the mark (then we were counted), or after it went (then the nonce is 0 by now). */
    if (__atomic_load_n(&now->closing, __ATOMIC_ACQUIRE) || __atomic_load_n(&now->nonce, __ATOMIC_ACQUIRE) != f->nonce) {
        nshm__detach(token, f->token_size);
        return -EAGAIN;
    }
    if (f->data >= 0) {
        data = nshm__attach_data(type, f->size, f->props, f->data, readonly, token);
        NSHM_STEP("adopt-data");
        if (!data) {
            e = errno; /* gone: its last holder is just being torn down */
            nshm__detach(token, f->token_size);
            return nshm__gone(e) ? -ENOENT : e == EACCES || e == ENOMEM ? -e : nshm__unsure(e);
        }
        if ((e = nshm__is(s, f->data, size, f->maker, 1, &made)) <= 0) {
            nshm__detach_stranger(f->data, data, size);
            nshm__detach(token, f->token_size);
            return e ? e : -ENOENT;
        }
        if ((e = nshm__place_data(type, f->size, f->props, &data))) {
            nshm__detach(token, f->token_size);
            return e;
        }
    }
    /* Same ids, same (random) size of the token, same maker, and born in the same second: these are the record's segments, so the
     * registry is where they are.  (A token is used again, then the data is new; who changed rights later is found the other way.) */
    if (known == NSHM__ANYWHERE && (made < f->born - 1 || made > f->born + 1)) {
        nshm__detach(token, f->token_size);
        nshm__detach(data, nshm__span(type, f->size, f->props));
        return -EAGAIN;
    }
    h->scope = p->scope;
    h->place = p;
    p->users++;
    h->token = token;
    h->data = data;
    h->size = f->size;
    h->nonce = f->nonce;
    h->token_id = f->token;
    h->data_id = f->data;
    h->token_size = f->token_size;
    h->slot = slot;
    h->mode = f->mode;
    h->props = f->props;
    h->type = type;
    h->readonly = readonly;
    h->group = -1;
    h->created = 0;
    return 0;
}
/* Look a name up and adopt it.  -ENOENT: nobody holds it; then *stale is its dead slot, or -1.  -EAGAIN: a change was under
 * way; look again under the lock (never returned there). */
static inline int nshm__lookup(nshm_place *p, uint16_t type, const char *name, size_t n, int readonly, int known,
                               nshm_handle *h, int *stale, uint64_t *stale_nonce) {
    nshm_record facts;
    uint32_t hash = nshm__name_hash(name, n), moves;
    int slot, r, patience = 1000;
again:
    moves = __atomic_load_n(&p->registry->moves, __ATOMIC_ACQUIRE);
    slot = *stale = -1;
    r = -ENOENT;
    while ((slot = nshm__find(p->registry, (uint32_t)(slot + 1), hash, name, n, &facts)) >= 0) {
        if (!nshm__sound(&facts)) return -EUCLEAN;
        if (type == NSHM_PARCEL ? !(facts.type & NSHM_PARCEL) : facts.type != type) {
            r = nshm__lives(p->scope, &facts);
            r = r > 0 ? -EBADMSG : r ? r : -ENOENT;
        } else if ((r = nshm__adopt(p, &facts, (uint32_t)slot, readonly, known, h)) == -EAGAIN && known == NSHM__LOCKED) {
            /* whoever marked it has died: the kernel's answer counts again */
            if (!patience--) return -EUCLEAN; /* somebody changes the record without the lock */
            __atomic_store_n(&p->registry->record[slot].closing, 0, __ATOMIC_SEQ_CST);
            slot--;
            continue;
        }
        if (r != -ENOENT) return r;
        *stale = slot;
        *stale_nonce = facts.nonce;
    }
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (known != NSHM__LOCKED && __atomic_load_n(&p->registry->moves, __ATOMIC_RELAXED) != moves) goto again; /* perhaps this name's */
    return r;
}

/* An identity: unique, not secret.  Two calls differ in time, thread or count, two machines' lives in the seed. */
static inline int nshm__nonce(nshm_scope *s, uint64_t *nonce) {
    struct timespec now;
    uint64_t x, seed = __atomic_load_n(&s->seed, __ATOMIC_RELAXED), fresh = 0;
    while (!seed) { /* several threads may come here at once: one's seed is everybody's */
        if (getrandom(&fresh, sizeof fresh, 0) < 0 && errno != EINTR) return -errno;
        if (fresh && __atomic_compare_exchange_n(&s->seed, &seed, fresh, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) seed = fresh;
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    x = seed + (uint64_t)now.tv_nsec + ((uint64_t)now.tv_sec << 30) + ((uint64_t)syscall(SYS_gettid) << 42) +
        __atomic_fetch_add(&s->count, 0x9e3779b97f4a7c15ULL, __ATOMIC_RELAXED);
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL; /* the mixer of splitmix64: a bijection, so what went in distinct stays so */
    x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
    x ^= x >> 31;
    *nonce = x ? x : 1;
    return 0;
}

/* Tokens are used again.  Making one costs as much as the rest of create and close together, and an untouched token is the same
 * as any other: so the last closer of a private Local section keeps its token attached, without an object, for its next create.
 * One per process.  Being the last is decided between closer and opener as in Dekker's algorithm: the closer marks the record,
 * then asks the kernel for the attachments; an opener attaches, then looks at the mark.  Whichever comes second sees the other.
 * One blemish: an opener that read the record just before its object was closed attaches the token for an instant when it may
 * serve the next name already.  A last close of that name in that instant is not recognized as one, so the name goes when the
 * opener has let the token go, microseconds after close() returned. */
static inline int nshm__recyclable(const nshm_scope *s, unsigned mode, uint32_t props, int64_t group) {
    return !s->global && mode == 0600 && !props && group < 0;
}
static inline int nshm__alone(int id, size_t size) {
    struct shmid_ds d;
    return !shmctl(id, IPC_STAT, &d) && d.shm_nattch == 1 && d.shm_segsz == size && (d.shm_perm.mode & SHM_DEST);
}
static inline int nshm__take_spare(nshm_place *p, nshm_handle *h) { /* under the lock, with the guard */
    nshm_spare spare = p->spare;
    if (!spare.at) return 0;
    p->spare.at = NULL;
    if (!nshm__alone(spare.id, spare.size)) { /* a child just forked has not let it go yet: it would keep our name */
        nshm__detach(spare.at, spare.size);
        return 0;
    }
    h->token = spare.at;
    h->token_id = spare.id;
    h->token_size = spare.size;
    return 1;
}
/* Close by keeping the token.  0: done (name gone, token kept); else the caller closes in the ordinary way. */
static inline int nshm__recycle(nshm_handle *h) {
    nshm_place *p = h->place;
    nshm_registry *t = p->registry;
    nshm_record *rec;
    int r = -1;
    if (!h->created || !nshm__recyclable(p->scope, h->mode, h->props, h->group) || h->slot >= NSHM_CAPACITY || p->let_go) return r;
    rec = &t->record[h->slot];
    if (p->spare.at || __atomic_load_n(&rec->nonce, __ATOMIC_RELAXED) != h->nonce || nshm__here(p) != 1 || nshm__lock(t, 0)) return r;
    if (rec->nonce == h->nonce) {
        __atomic_store_n(&rec->closing, NSHM__ASKING, __ATOMIC_SEQ_CST);
        NSHM_STEP("closing");
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        if (nshm__alone(h->token_id, h->token_size)) {
            nshm__free(t, h->slot); /* the name is gone from here on */
            NSHM_STEP("recycled");
            p->spare.at = h->token;
            p->spare.id = h->token_id;
            p->spare.size = h->token_size;
            h->token = NULL;
            r = 0;
        }
        __atomic_store_n(&rec->closing, 0, __ATOMIC_SEQ_CST);
    }
    nshm__unlock(t);
    return r;
}

/* Make the segments of a new object (under the lock for a named one, see nshm__segment). */
static inline int nshm__make(nshm_place *p, uint16_t type, uint64_t size, unsigned mode, int64_t group, uint32_t props,
                             size_t token_room, nshm_handle *h) {
    nshm_scope *s = p->scope;
    int r = nshm__nonce(s, &h->nonce);
    unsigned readers = (mode >> 2 | mode >> 1) & 011; /* whoever may read or write the data may hold the name */
    unsigned bits = mode & (props & NSHM_OBJ_READONLY ? 044 : 066); /* what nobody may write, others cannot attach for writing */
    if (r) return r;
    if (props & NSHM_OBJ_EXECUTABLE) bits |= (mode & 044) >> 2;
    h->token_size = token_room + 1 + h->nonce % NSHM_TOKEN_SPAN;
    h->size = size;
    h->mode = mode;
    h->props = props;
    h->type = type;
    h->group = group;
    h->scope = s;
    h->place = p;
    h->readonly = 0;
    h->created = 1;
    h->data = NULL;
    h->data_id = -1;
    if (token_room > NSHM_TOKEN_ROOM || size > NSHM_SIZE_MAX) return -EINVAL;
    if (!(nshm__recyclable(s, mode, props, group) && !token_room && nshm__take_spare(p, h))) {
        r = nshm__segment(p, h->token_size, (int)(0600 | (readers & 077) << 2), SHM_NORESERVE | (props & NSHM_OBJ_FILE ? NSHM_FILE_MARK : 0),
                          group, NULL, &h->token_id, &h->token);
        if (r) return r;
    }
    if (!(props & NSHM_OBJ_FILE) && size) {
        int extra = props & NSHM_OBJ_RESERVE ? SHM_NORESERVE : 0;
        const void *neighbour = nshm__neighbour(type, props, h->token);
        r = nshm__segment(p, nshm_data_size(size, props), (int)(0600 | bits), extra, group, neighbour, &h->data_id, &h->data);
        if (!r) r = nshm__place_data(type, size, props, &h->data);
        if (r) {
            nshm__detach(h->token, h->token_size);
            h->token = NULL;
        }
    }
    return r;
}
/* Detach, the name first, then the memory. */
static inline void nshm__drop(nshm_handle *h) {
    size_t n = nshm__span(h->type, h->size, h->props);
    if (h->token && h->data && (char *)h->data + n == (char *)h->token) munmap(h->data, n + nshm_page_round(h->token_size));
    else if (h->token && h->data && (char *)h->token + nshm_page_round(h->token_size) == (char *)h->data)
        munmap(h->token, n + nshm_page_round(h->token_size));
    else {
        nshm__detach(h->token, h->token_size);
        NSHM_STEP("dropped-token");
        nshm__detach(h->data, n);
    }
    h->token = h->data = NULL;
}

/* Under the lock: write the record of a free (or dead) slot, then let it be found. */
static inline void nshm__publish(nshm_registry *t, uint32_t slot, const nshm_handle *h, uint16_t type, uint64_t nonce,
                                 const char *name, size_t n) {
    nshm_record *rec = &t->record[slot], fresh;
    fresh.size = h->size;
    fresh.token = h->token_id;
    fresh.data = h->data_id;
    fresh.token_size = (uint32_t)h->token_size;
    fresh.maker = h->scope->global ? h->scope->uid : 0;
    fresh.mode = h->mode;
    fresh.props = h->props;
    fresh.type = type;
    fresh.length = (uint16_t)n;
    fresh.hash = nshm__name_hash(name, n);
    fresh.born = time(NULL);
    fresh.pid = getpid();
    fresh.closing = 0;
    __atomic_store_n(&t->hash[slot], 0, __ATOMIC_RELEASE);
    __atomic_store_n(&rec->nonce, 0, __ATOMIC_SEQ_CST); /* copies taken from here on are refused ... */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    NSHM_STEP("filling");
    nshm__put((char *)rec + sizeof rec->nonce, (char *)&fresh + sizeof fresh.nonce, offsetof(nshm_record, name) - sizeof fresh.nonce);
    nshm__put(rec->name, name, n);
    if (slot >= nshm__used(t)) __atomic_store_n(&t->used, slot + 1, __ATOMIC_RELEASE);
    NSHM_STEP("filled");
    /* The nonce last: who still has an old hash in mind, the same as ours, must not find the object before everybody does. */
    __atomic_store_n(&t->hash[slot], fresh.hash, __ATOMIC_RELEASE);
    NSHM_STEP("publishing");
    __atomic_store_n(&rec->nonce, nonce, __ATOMIC_RELEASE); /* ... until here: the name exists from here on */
    NSHM_STEP("published");
}

/* Called under the lock, with the guard, with the handle of a new object, before it is published: fill its token's page, say. */
typedef int (*nshm_filler)(nshm_handle *h, void *context);

/* The part of create that is under the registry's lock and the guard: look again, for somebody may have been faster; then make. */
static inline int nshm__create_locked(nshm_place *p, uint16_t type, const char *name, size_t n, uint64_t size, unsigned mode, int64_t group,
                                      uint32_t props, int flags, size_t token_room, nshm_filler fill, void *context, nshm_handle *h) {
    int stale, slot, r;
    uint64_t stale_nonce = 0;
    r = nshm__lookup(p, type, name, n, flags & NSHM_READONLY, NSHM__LOCKED, h, &stale, &stale_nonce);
    if (r == -EACCES && (flags & NSHM_EXCLUSIVE)) return -EEXIST;
    if (!r && (flags & NSHM_EXCLUSIVE)) {
        nshm__drop(h);
        nshm__done_with(p);
        return -EEXIST;
    }
    if (r != -ENOENT) return r;
    slot = stale >= 0 ? stale : nshm__slot(p->scope, p->registry); /* a dead object's slot is taken over */
    if (slot < 0) return slot;
    if ((r = nshm__make(p, type, size, mode, group, props, token_room, h))) return r;
    if (fill && (r = fill(h, context))) {
        nshm__drop(h);
        return r;
    }
    nshm__publish(p->registry, (uint32_t)slot, h, type, h->nonce, name, n);
    h->slot = (uint32_t)slot;
    p->users++;
    return 0;
}

/* Create a named object, or, without NSHM_EXCLUSIVE, open a living one (h->created tells which).
 * `mode`: permission bits for others (0600: the user alone).  `group`: the group that the group bits mean, or -1. */
static inline int nshm_create(nshm_scope *s, uint16_t type, const char *name, size_t n, uint64_t size, unsigned mode, int64_t group,
                              uint32_t props, int flags, size_t token_room, nshm_filler fill, void *context, nshm_handle *h) {
    nshm_place *p;
    int r, stale;
    uint64_t stale_nonce = 0;
    nshm__blank(h);
    if (!n || n > NSHM_NAME_MAX) return n ? -ENAMETOOLONG : -EINVAL;
    if (type == NSHM_SECTION ? !size : size != NSHM_WORDS_SIZE || props) return -EINVAL;
    if ((r = nshm__enter())) return r;
    r = nshm__registry(s, 1, &p);
    /* Without the right to create, too: it may exist. */
    if (!(flags & NSHM_EXCLUSIVE) && (!r || (r == -EPERM && (p || !nshm__registry(s, 0, &p))))) {
        int found = nshm__lookup(p, type, name, n, flags & NSHM_READONLY, NSHM__HERE, h, &stale, &stale_nonce);
        if (found != -ENOENT && found != -EAGAIN) {
            nshm__exit();
            return found;
        }
    }
    if (r) {
        nshm__exit();
        return r;
    }
    p->users++; /* the place stays while we wait for its lock */
    nshm__exit();
    if (!(r = nshm__lock(p->registry, 1))) {
        if (!(r = nshm__enter())) {
            r = nshm__create_locked(p, type, name, n, size, mode, group, props, flags, token_room, fill, context, h);
            nshm__exit();
        }
        nshm__unlock(p->registry);
    }
    if (!nshm__enter()) {
        if (r) h->place = NULL;
        nshm__done_with(p);
        nshm__exit();
    }
    return r;
}

/* Open a living object.  No lock unless a change was under way or a dead entry is tidied away. */
static inline int nshm_open(nshm_scope *s, uint16_t type, const char *name, size_t n, int flags, nshm_handle *h) {
    nshm_place *p;
    int r, stale;
    uint64_t stale_nonce;
    nshm__blank(h);
    if (!n || n > NSHM_NAME_MAX) return n ? -ENAMETOOLONG : -EINVAL;
    if ((r = nshm__enter())) return r;
    for (p = nshm__places; p && p->scope != s;) p = p->next; /* where the last open was; what is found there is found */
    if (p && !p->let_go && (s->global || nshm__numbered(s)) &&
        !nshm__lookup(p, type, name, n, flags & NSHM_READONLY, NSHM__ANYWHERE, h, &stale, &stale_nonce))
        goto out;
    if ((r = nshm__registry(s, 0, &p))) goto out;
    r = nshm__lookup(p, type, name, n, flags & NSHM_READONLY, NSHM__HERE, h, &stale, &stale_nonce);
    p->users++;
    for (int tries = 1000; r == -EAGAIN && !p->writable && tries--;) { /* who may not lock waits: a name is replaced in microseconds */
        nshm__exit();
        sched_yield();
        nshm__enter();
        r = nshm__lookup(p, type, name, n, flags & NSHM_READONLY, NSHM__HERE, h, &stale, &stale_nonce);
    }
    if (r == -EAGAIN && p->writable) {
        nshm__exit();
        int locked = nshm__lock(p->registry, 1);
        nshm__enter();
        r = locked ? locked : nshm__lookup(p, type, name, n, flags & NSHM_READONLY, NSHM__LOCKED, h, &stale, &stale_nonce);
        if (!locked) nshm__unlock(p->registry);
        if (locked) stale = -1;
    }
    if (r == -EAGAIN) r = nshm__unsure(EAGAIN); /* it was killed over it, and nobody who may has been here since */
    if (r == -ENOENT && stale >= 0) nshm__tidy(p, (uint32_t)stale, stale_nonce);
    nshm__done_with(p);
out:
    nshm__exit();
    return r;
}

/* An unnamed section: data alone; its attachments are its handles and views. */
static inline int nshm_create_unnamed(nshm_scope *s, uint64_t size, unsigned mode, uint32_t props, nshm_handle *h) {
    nshm__blank(h);
    int r = nshm__nonce(s, &h->nonce);
    if (r) return r;
    h->scope = s;
    h->size = size;
    h->mode = mode;
    h->props = props;
    h->type = NSHM_SECTION;
    h->token_id = h->data_id = -1;
    h->created = 1;
    if ((props & NSHM_OBJ_FILE) || !size) return 0;
    if (size > NSHM_SIZE_MAX) return -EINVAL;
    if ((r = nshm__enter())) return r;
    /* IPC_PRIVATE and no lock: a kill within the next two calls leaves an id without a page; shm_rmid_forced avoids it */
    h->data_id = shmget(IPC_PRIVATE, nshm_data_size(size, props), IPC_CREAT | (props & NSHM_OBJ_RESERVE ? SHM_NORESERVE : 0) | 0600 | NSHM_MARK);
    if (h->data_id < 0) r = -errno;
    else if (!(h->data = nshm__attach(h->data_id, 0))) {
        r = -errno;
        shmctl(h->data_id, IPC_RMID, NULL);
    } else if ((r = nshm__finish_segment(h->data_id, (int)(0600 | (mode & 066)), -1))) { /* it would outlive everybody */
        shmctl(h->data_id, IPC_RMID, NULL);
        nshm__drop(h);
    } else nshm__advise(h->data, size, props);
    nshm__exit();
    return r;
}

/* Another handle to the same object, never with more access. */
static inline int nshm__duplicate(const nshm_handle *h, int readonly, nshm_handle *to) {
    int r;
    memcpy(to, h, offsetof(nshm_handle, flight));
    to->token = to->data = NULL;
    to->created = 0;
    to->readonly = h->readonly || readonly;
    if (h->token && !(to->token = nshm__attach(h->token_id, 1))) return -errno;
    if (h->data_id >= 0) {
        if (!(to->data = nshm__attach_data(h->type, h->size, h->props, h->data_id, to->readonly, to->token))) r = -errno;
        else r = nshm__place_data(h->type, h->size, h->props, &to->data);
        if (r) {
            nshm__detach(to->token, to->token_size);
            to->token = NULL;
            return r;
        }
    }
    if (to->place) to->place->users++;
    return 0;
}
static inline int nshm_duplicate(const nshm_handle *h, int readonly, nshm_handle *to) {
    int r = nshm__enter();
    if (r) return r;
    r = nshm__duplicate(h, readonly, to);
    nshm__exit();
    return r;
}

/* One more attachment of the data, for a view with other access than the handle's.  NULL with errno. */
static inline void *nshm_attach_data(const nshm_handle *h, int readonly, int executable) {
    void *p = shmat(h->data_id, NULL, (readonly ? SHM_RDONLY : 0) | (executable ? SHM_EXEC : 0));
    if (p == (void *)-1) return NULL;
    nshm__advise(p, h->size, h->props);
    return p;
}

/* After a handle is gone: if it was the last, its entry is dead. */
static inline void nshm__tidy_after(const nshm_handle *h) {
    struct shmid_ds d;
    if (shmctl(h->token_id, IPC_STAT, &d) && nshm__gone(errno)) nshm__tidy(h->place, h->slot, h->nonce);
}

/* Close the handle.  With `keep_data` the data attachment stays and is the caller's (a view): munmap it later. */
static inline void nshm_close(nshm_handle *h, int keep_data) {
    int named = h->token != NULL;
    if (nshm__enter()) return;
    if (keep_data) h->data = NULL;
    if (named && !nshm__recycle(h)) named = 0;
    nshm__drop(h);
    NSHM_STEP("closed");
    if (named) nshm__tidy_after(h);
    nshm__done_with(h->place);
    h->place = NULL;
    nshm__exit();
}

/* May the holder of this handle take the object's name away?  Who may write the object and the registry may; nobody has a handle for
 * writing to what was created read-only: there it is the maker's user. */
static inline int nshm__may_take(const nshm_handle *h) {
    struct shmid_ds d;
    if (!h->place->writable) return 0;
    if (!(h->props & NSHM_OBJ_READONLY)) return !h->readonly;
    return !h->place->global || (!shmctl(h->token_id, IPC_STAT, &d) && d.shm_perm.cuid == (uint32_t)geteuid());
}
/* Take the name away from the object at once, whoever holds it: it can be made again, and this object lives on without one until its
 * last holder goes.  0; -ENOENT: it has no name any more (retired before); -EACCES, see above.  An opener that had found the record
 * before looks at its nonce after attaching: if it is still there, it has opened the object before this; else it looks again. */
static inline int nshm_retire(nshm_handle *h) {
    nshm_place *p = h->place;
    int r;
    if (!h->token || !p) return -EINVAL;
    if (!nshm__may_take(h)) return -EACCES;
    if ((r = nshm__enter())) return r;
    p->users++;
    nshm__exit();
    if (!(r = nshm__lock(p->registry, 1))) {
        if (h->slot >= NSHM_CAPACITY || p->registry->record[h->slot].nonce != h->nonce) r = -ENOENT;
        else if ((r = nshm__here(p)) > 0) {
            r = 0;
            NSHM_STEP("retiring");
            nshm__free(p->registry, h->slot);
        } else if (!r) r = nshm__unsure(ENOENT); /* this thread has moved to another IPC namespace */
        nshm__unlock(p->registry);
    }
    if (!nshm__enter()) {
        nshm__done_with(p);
        nshm__exit();
    }
    return r;
}

/* Does the name still lead to this object?  0 from the moment on that nshm_retire or nshm_replace took it away.  One load. */
static inline int nshm_named(const nshm_handle *h) {
    return h->token && h->place && h->slot < NSHM_CAPACITY &&
           __atomic_load_n(&h->place->registry->record[h->slot].nonce, __ATOMIC_ACQUIRE) == h->nonce;
}

/* A new object that has no name yet, to be filled at leisure, and then given one by nshm_replace.  Arguments as for nshm_create.  If its
 * maker ends before that, it goes like any other. */
static inline int nshm_prepare(nshm_scope *s, uint16_t type, uint64_t size, unsigned mode, int64_t group, uint32_t props, nshm_handle *h) {
    nshm_place *p;
    int r;
    nshm__blank(h);
    if (type == NSHM_SECTION ? !size || props & NSHM_OBJ_FILE : size != NSHM_WORDS_SIZE || props) return -EINVAL;
    if ((r = nshm__enter())) return r;
    if (!(r = nshm__registry(s, 1, &p))) p->users++;
    nshm__exit();
    if (r) return r;
    if (!(r = nshm__lock(p->registry, 1))) {
        if (!(r = nshm__enter())) {
            r = nshm__make(p, type, size, mode, group, props, 0, h);
            h->slot = NSHM_CAPACITY; /* none */
            nshm__exit();
        }
        nshm__unlock(p->registry);
    }
    if (r && !nshm__enter()) {
        h->place = NULL;
        nshm__done_with(p);
        nshm__exit();
    }
    return r;
}

/* Under the lock and the guard: let the name lead to h from now on.  Openers at any time find the one object or the other, whole:
 *   1. the old record is marked, and the registry tells which slot is to follow which: openers that come to the mark take the lock, so
 *      nobody is led to the old object after the new one may have been found;
 *   2. the new record is published: the name is h's from here on, whether we live or not;
 *   3. `moves` is raised: an opener may have passed the new record's slot before 2 and would find the old one's free;
 *   4. the old record is freed.
 * Killed within, the next owner of the lock does 3 and 4 if 2 was done, or takes the mark away (nshm__settle). */
static inline int nshm__replace_locked(nshm_handle *h, const char *name, size_t n) {
    nshm_place *p = h->place;
    nshm_registry *t = p->registry;
    nshm_handle old;
    uint64_t stale_nonce;
    int slot, stale, found, r = nshm__here(p);
    if (r <= 0) return r ? r : nshm__unsure(ENOENT);
    memset(&old, 0, sizeof old);
    found = nshm__lookup(p, h->type, name, n, 0, NSHM__LOCKED, &old, &stale, &stale_nonce);
    if (found && found != -ENOENT) return found;
    slot = !found && !nshm__may_take(&old) ? -EACCES : found && stale >= 0 ? stale : nshm__slot(p->scope, t);
    if (slot >= 0) {
        if (!found) {
            t->heir = (uint32_t)slot;
            __atomic_store_n(&t->leaving, old.slot + 1, __ATOMIC_RELEASE);
            NSHM_STEP("announced");
            __atomic_store_n(&t->record[old.slot].closing, NSHM__LEAVING, __ATOMIC_SEQ_CST);
            __atomic_thread_fence(__ATOMIC_SEQ_CST);
            NSHM_STEP("leaving");
        }
        nshm__publish(t, (uint32_t)slot, h, h->type, h->nonce, name, n);
        h->slot = (uint32_t)slot;
        if (!found) nshm__settle(t);
    }
    if (!found) {
        nshm__drop(&old);
        nshm__done_with(p);
    }
    return slot < 0 ? slot : 0;
}
/* Give a prepared object a name: the object that has it loses it, as by nshm_retire, in the same step; nobody finds none between.  0;
 * -EACCES: the other may not be written, or may not be taken away; -EBADMSG: it is of another type; then h is as it was. */
static inline int nshm_replace(nshm_handle *h, const char *name, size_t n) {
    nshm_place *p = h->place;
    int r;
    if (!n || n > NSHM_NAME_MAX) return n ? -ENAMETOOLONG : -EINVAL;
    if (!h->token || !p || h->slot < NSHM_CAPACITY) return -EINVAL;
    if (!(r = nshm__lock(p->registry, 1))) {
        if (!(r = nshm__enter())) {
            r = nshm__replace_locked(h, name, n);
            nshm__exit();
        }
        nshm__unlock(p->registry);
    }
    return r;
}

/* Give the name up now, keep the data until nshm_close. */
static inline void nshm_close_name(nshm_handle *h) {
    void *data = h->data;
    if (!h->token || nshm__enter()) return;
    h->data = NULL;
    nshm__drop(h);
    h->data = data;
    nshm__tidy_after(h);
    nshm__exit();
}

/* ------------------------------------------------------------------------------------------------ handing a handle over
 * Nobody can attach memory for another process, so the sender keeps a handle of its own until the receiver has one, or is gone.  A
 * parcel is a record in the user's Local registry, under a name no user can choose and with a token of its own (the box).  A note
 * behind the longest name says which record is the object's, in which registry: that one the receiver adopts, as if it had found the
 * name, so that it has the object's identity and waits in its scope.  An unnamed section has none: its parcel leads to the data. */
typedef struct {
    uint64_t nonce;     /* the object's */
    uint32_t slot;      /* of the object's record */
    uint16_t where;     /* NSHM__UNNAMED, or in the Local or the Global registry */
    uint16_t readonly;
    uint32_t access;    /* the caller's own */
    uint32_t spare;
} nshm_note;
enum { NSHM__UNNAMED = 0, NSHM__IN_LOCAL = 1, NSHM__IN_GLOBAL = 2 };
#define NSHM_NOTE 1056u /* where in nshm_record.name; a multiple of 8 */
NSHM__ASSERT(NSHM_NOTE > NSHM_NAME_MAX && NSHM_NOTE + sizeof(nshm_note) <= sizeof(((nshm_record *)0)->name), "note layout");

typedef struct { /* what the sender keeps */
    nshm_handle object, box;
} nshm_parked;

static inline uint32_t *nshm__low_half(uint64_t *word) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return (uint32_t *)word + 1;
#else
    return (uint32_t *)word;
#endif
}
/* `s` is the Local scope, wherever the object is; `access` is what nshm_receive shall tell. */
static inline int nshm_send(nshm_scope *s, const nshm_handle *h, uint32_t access, const char *name, size_t n, int readonly, nshm_parked *k) {
    nshm_place *p = NULL;
    int r, slot;
    nshm__blank(&k->object);
    nshm__blank(&k->box);
    if ((r = nshm__enter())) return r;
    if (!(r = nshm__registry(s, 1, &p)) && !(r = nshm__duplicate(h, readonly, &k->object))) p->users++;
    nshm__exit();
    if (r) return r;
    nshm_registry *t = p->registry;
    if (!(r = nshm__lock(t, 1))) {
        nshm__enter();
        if ((slot = nshm__slot(s, t)) < 0) r = slot;
        else if (!(r = nshm__make(p, h->type, 0, 0600, -1, 0, 0, &k->box))) {
            nshm_note note = {h->nonce, h->slot, NSHM__UNNAMED, (uint16_t)!!readonly, access, 0};
            if (h->token) note.where = h->place->global ? NSHM__IN_GLOBAL : NSHM__IN_LOCAL;
            nshm_handle facts = k->box; /* of the object, but for the token */
            facts.size = h->size;
            facts.data_id = h->data_id;
            facts.mode = h->mode;
            facts.props = h->props;
            k->box.slot = (uint32_t)slot;
            k->box.created = 0; /* its token is not kept for another object: the receiver may be just looking at it */
            /* Nobody believes a note before the nonce is there; what stood here of a dead record nobody reads any more. */
            __atomic_store_n(&t->record[slot].nonce, 0, __ATOMIC_SEQ_CST);
            __atomic_thread_fence(__ATOMIC_SEQ_CST);
            nshm__put(t->record[slot].name + NSHM_NOTE, &note, sizeof note);
            nshm__publish(t, (uint32_t)slot, &facts, NSHM_PARCEL | h->type, k->box.nonce, name, n);
        }
        nshm__exit();
        nshm__unlock(t);
    }
    if (r) {
        nshm_close(&k->object, 0);
        k->box.place = p;
        nshm_close(&k->box, 0); /* nothing but the place */
    }
    return r;
}
/* Where the parcel's nonce is: it changes when the receiver has the object, and who sleeps on its low half (a shared futex) is woken. */
static inline uint64_t *nshm_parcel_word(const nshm_parked *k) { return &k->box.place->registry->record[k->box.slot].nonce; }
static inline int nshm_parcel_claimed(const nshm_parked *k) {
    return __atomic_load_n(nshm_parcel_word(k), __ATOMIC_ACQUIRE) != k->box.nonce;
}
/* Let go of a parcel, claimed or not.  Not done, and to be tried again: -EBUSY without `wait`, else -EINTR or -ETIMEDOUT. */
static inline int nshm_unsend(nshm_parked *k, int wait) {
    nshm_registry *t = k->box.place->registry;
    int r;
    if (!nshm_parcel_claimed(k)) {
        if ((r = nshm__lock(t, wait))) return r;
        if (t->record[k->box.slot].nonce == k->box.nonce) nshm__free(t, k->box.slot);
        nshm__unlock(t);
    }
    nshm_close(&k->object, 0);
    nshm_close(&k->box, 0);
    return 0;
}
/* In a forked child: let go of what the parent keeps.  The record is the parent's. */
static inline void nshm_parked_inherited(nshm_parked *k) {
    nshm__drop(&k->object);
    nshm__drop(&k->box);
}
/* Under the guard: find the parcel and adopt what it leads to.  *p: the registry of the parcel, *slot and *nonce its record. */
static inline int nshm__unpack(nshm_scope *s, nshm_scope *global, const char *name, size_t n, nshm_handle *h, nshm_note *note,
                               nshm_place **p, uint32_t *slot, uint64_t *nonce) {
    nshm_record facts;
    nshm_place *from;
    int at, r = nshm__registry(s, 0, p);
    if (r) return r;
    at = nshm__find((*p)->registry, 0, nshm__name_hash(name, n), name, n, &facts);
    if (at < 0 || !(facts.type & NSHM_PARCEL)) return -ENOENT;
    const nshm_record *parcel = &(*p)->registry->record[at];
    nshm__get(note, parcel->name + NSHM_NOTE, sizeof *note);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (__atomic_load_n(&parcel->nonce, __ATOMIC_RELAXED) != facts.nonce) return -ENOENT; /* somebody else was taking it */
    *slot = (uint32_t)at;
    *nonce = facts.nonce;
    from = *p;
    if (note->where == NSHM__IN_GLOBAL && (r = nshm__registry(global, 0, &from))) return r;
    if (note->where != NSHM__UNNAMED) {
        if (note->slot >= NSHM_CAPACITY || !nshm__copy(&from->registry->record[note->slot], &facts) || facts.nonce != note->nonce)
            return -ENOENT; /* the sender has gone, and the object with it */
        at = (int)note->slot;
    }
    if (!nshm__sound(&facts)) return -EUCLEAN;
    return nshm__adopt(from, &facts, (uint32_t)at, note->readonly, NSHM__HERE, h);
}
/* Adopt a parcel and free its slot.  `global`: the scope of Global objects.  -ENOENT: there is none of that name. */
static inline int nshm_receive(nshm_scope *s, nshm_scope *global, const char *name, size_t n, nshm_handle *h, nshm_note *note) {
    struct timespec nap = {0, 50000};
    struct shmid_ds d;
    nshm_place *p;
    uint32_t slot;
    uint64_t nonce;
    int r, box = -1, tries = 1000;
    nshm__blank(h);
    for (;;) {
        if ((r = nshm__enter())) return r;
        r = nshm__unpack(s, global, name, n, h, note, &p, &slot, &nonce);
        if (!r) p->users++; /* it stays while we wait for its lock */
        nshm__exit();
        if (r != -EAGAIN) break;
        if (!tries--) return nshm__unsure(EAGAIN); /* (who asks whether it is the last does so for microseconds; or died over it) */
        sched_yield();
    }
    if (r) return r;
    if (note->where == NSHM__UNNAMED) h->nonce = note->nonce;
    while ((r = nshm__lock(p->registry, 1)) == -EINTR)
        ;
    if (!r) {
        nshm_record *parcel = &p->registry->record[slot];
        if (parcel->nonce == nonce) {
            box = parcel->token;
            nshm__free(p->registry, slot);
        }
        nshm__unlock(p->registry);
        syscall(SYS_futex, nshm__low_half(&parcel->nonce), FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
    } /* else a stopped creator holds the lock: the sender keeps its handle for as long as we live */
    /* Until the sender has let go, the box last: from then on the object is ours alone to end.  Not for ever: it may be stopped. */
    for (int k = 0; box >= 0 && k < 2000 && !shmctl(box, IPC_STAT, &d) && d.shm_nattch > (h->token_id == box); k++) nanosleep(&nap, NULL);
    if (!nshm__enter()) {
        nshm__done_with(p);
        nshm__exit();
    }
    return 0;
}

/* ------------------------------------------------------------------------------------------------ looking around */
typedef struct {
    nshm_record record; /* name included */
    uint32_t maker;     /* the user who made it, as numbered where this process is */
    uint32_t handles;   /* attachments of the token */
    uint32_t mappings;  /* attachments of the data, by handles and views together; 0 without data */
} nshm_info;

/* The living object in the first used slot at or after *cursor; -ENOENT at the end.  Attaches nothing.  What could not be told is an error:
 * if it was one object, *cursor has moved past it. */
static inline int nshm_next(nshm_scope *s, uint32_t *cursor, nshm_info *info) {
    struct shmid_ds d;
    nshm_place *p;
    int r = nshm__enter();
    if (r) return r;
    if ((r = nshm__registry(s, 0, &p))) goto out;
    r = -ENOENT;
    for (; *cursor < nshm__used(p->registry); ++*cursor) {
        const nshm_record *rec = &p->registry->record[*cursor];
        if (!__atomic_load_n(&p->registry->hash[*cursor], __ATOMIC_ACQUIRE) || !nshm__copy(rec, &info->record)) continue;
        nshm__get(info->record.name, rec->name, info->record.length);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (__atomic_load_n(&rec->nonce, __ATOMIC_RELAXED) != info->record.nonce || !nshm__sound(&info->record)) continue;
        int lives = nshm__lives(s, &info->record);
        if (!lives) continue;
        ++*cursor;
        r = lives < 0 ? lives : nshm__facts(info->record.token, &d);
        if (r == -ENOENT) {
            --*cursor; /* it went this instant */
            continue;
        }
        info->maker = d.shm_perm.cuid;
        info->handles = (uint32_t)d.shm_nattch;
        info->mappings = 0;
        if (!r && info->record.data >= 0 && !nshm__facts(info->record.data, &d)) info->mappings = (uint32_t)d.shm_nattch;
        break;
    }
out:
    nshm__exit();
    return r;
}

/* ------------------------------------------------------------------------------------------------ files behind sections
 * The token of a NSHM_OBJ_FILE section begins with a text that says where the file is (docs/format-linux.md), ended by 0.  Whoever
 * follows it opens a file with his own rights, so it must be his own user's text.  A record does not prove that: every member of the
 * creating group writes the Global registry, and can let a record lead to any segment.  The kernel's facts of the segment do prove it:
 * its creator (which nobody can change) is this user, nobody else could ever write it, and its mode, which no other segment has, says
 * that it is such a text and not some data of this user's that repeats what others said. */
#define NSHM_FILE_MODE (0600 | NSHM_MARK | NSHM_FILE_MARK) /* of no other segment: those that the group may execute it may also read */

/* For a nshm_filler of an object of mode 0600: `text` of `n` bytes and its end go into the token, which has room for them. */
static inline int nshm_write_location(nshm_handle *h, const char *text, size_t n) {
    memcpy(h->token, text, n);
    ((char *)h->token)[n] = 0;
    return 0;
}
/* The text of an open handle's token.  -EPERM: another user's, not to be followed; -EUCLEAN: no such text. */
static inline int nshm_location(const nshm_handle *h, const char **text, size_t *n) {
    struct shmid_ds d;
    if (!h->token) return -EBADF;
    if (shmctl(h->token_id, IPC_STAT, &d)) return -errno;
    if (d.shm_perm.cuid != geteuid() || d.shm_perm.uid != d.shm_perm.cuid) return -EPERM;
    if ((d.shm_perm.mode & 0777) != NSHM_FILE_MODE || !(d.shm_perm.mode & SHM_DEST)) return -EUCLEAN;
    *text = (const char *)h->token;
    *n = strnlen(*text, d.shm_segsz < h->token_size ? d.shm_segsz : h->token_size);
    return *n < h->token_size ? 0 : -EUCLEAN;
}

/* ------------------------------------------------------------------------------------------------ diagnostics
 * What looks like a registry to the kernel, whoever made it, believed or not.  For error texts and administrators. */
typedef struct {
    int id;
    uint32_t cuid, gid, mode; /* creator, group and permission bits */
    int cpid;                 /* the creator's process, in the caller's PID namespace; 0 from another one */
    uint64_t attached;        /* attachments; a process may count several times */
    uint32_t version;         /* of the format; 0: may not be read here, or not ready */
    uint64_t session;
} nshm_registry_facts;

/* The next one at or after *cursor; -ENOENT at the end.  A segment that may be read is attached for an instant. */
static inline int nshm_next_registry(int *cursor, nshm_registry_facts *facts) {
    struct shminfo info;
    struct shmid_ds d;
    int max = shmctl(0, IPC_INFO, (struct shmid_ds *)&info);
    if (max < 0) return -errno;
    while (*cursor <= max) {
        int id = shmctl((*cursor)++, SHM_STAT_ANY, &d);
        if (id < 0) {
            if (nshm__gone(errno)) continue;
            return nshm__unsure(errno);
        }
        if (!nshm__registry_sized(d.shm_segsz) || !(d.shm_perm.mode & NSHM_MARK) || !(d.shm_perm.mode & SHM_DEST) || !d.shm_nattch) continue;
        memset(facts, 0, sizeof *facts);
        facts->id = id;
        facts->cuid = d.shm_perm.cuid;
        facts->gid = d.shm_perm.gid;
        facts->mode = d.shm_perm.mode & 0777;
        facts->cpid = d.shm_cpid;
        facts->attached = d.shm_nattch;
        size_t size = d.shm_segsz;
        nshm_registry *t = (nshm_registry *)nshm__attach(id, 1);
        if (!t) return 0;
        if (!shmctl(id, IPC_STAT, &d)) { /* asked after attaching: whose pages these are */
            if (d.shm_segsz == size && d.shm_perm.cuid == facts->cuid && __atomic_load_n(&t->magic, __ATOMIC_ACQUIRE) == NSHM_MAGIC) {
                facts->version = t->version;
                facts->session = t->session;
            }
            size = d.shm_segsz;
        }
        nshm__detach(t, size);
        return 0;
    }
    return -ENOENT;
}
#endif
