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
 *   token     one per object; AN ATTACHMENT OF IT IS A HANDLE and keeps the name.  Its page is not touched for a section.
 *   data      one per section; AN ATTACHMENT OF IT IS A VIEW or a handle's hold on the memory.
 *   registry  one per scope; every process that holds an object has it attached, so it lives exactly as long as there can be
 *             a name in it.  It is found by scanning the kernel's segment table.  It is an index only: whether an object
 *             lives is decided by attaching its token and comparing what the kernel says of that segment.
 *
 * Scopes: Local is one per user (and session string) and IPC namespace, mode 0600.  Global is one per IPC namespace, writable
 * by root and the group the administrator granted creation to, readable by all.
 *
 * Errors: -ENOENT no such name; -EEXIST; -EACCES no right; -EPERM creation in Global not granted; -EBADMSG the name is held by
 * another type; -ENOSPC segment table full (kernel.shmmni, kernel.shmall); -ENOMEM; -EINVAL; -ENOSYS no System V IPC;
 * -EPROTO programs with another version of the format use the scope; -ENFILE registry full; -ETIMEDOUT a creator was stopped inside its critical section; -EINTR; -EUCLEAN damaged registry.
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
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
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
#ifndef SHM_STAT_ANY
#define SHM_STAT_ANY 15
#endif
#ifndef SHM_DEST
#define SHM_DEST 01000
#endif

/* Test builds define this to a call that can kill the process at the named step; it is empty otherwise. */
#ifndef NSHM_STEP
#define NSHM_STEP(what) ((void)0)
#endif

/* ------------------------------------------------------------------------------------------------ layout (version 2)
 * Registry segment, exactly NSHM_REGISTRY_SIZE bytes, SHM_NORESERVE, pages touched as used:
 *
 *   offset   size  field       written by                    read without the lock because
 *   0        8     magic       its creator, last (release)   nothing else is looked at before
 *   8        4     version     its creator, before magic     constant
 *   12       4     capacity    its creator, before magic     constant
 *   16       8     session     its creator, before magic     constant
 *   24       4     lock        whoever locks (robust futex)  -
 *   28       4     used        under the lock                raised before a slot beyond it is published, lowered past free ones only
 *   4096     4*N   hash[N]     under the lock                0 = free slot; published last, cleared first (release)
 *   4096+4N  1152N record[N]   under the lock                nonce validates a copy: see nshm__copy
 */
#define NSHM_MAGIC 0x314c42544d48534eULL /* "NSHMTBL1" */
#define NSHM_VERSION 2u
#define NSHM_CAPACITY 16384u
#define NSHM_NAME_MAX 1036u /* bytes: 259 characters of at most 4 bytes of UTF-8 */
#define NSHM_TOKEN_SPAN 65536u

enum { NSHM_SECTION = 1, NSHM_MUTEX = 2, NSHM_EVENT = 3, NSHM_SEMAPHORE = 4, NSHM_PARCEL = 5 };
enum { NSHM_LOCAL = 0, NSHM_GLOBAL = 1 };
/* flags of create and open */
enum { NSHM_READONLY = 1, NSHM_EXCLUSIVE = 2 };
/* properties of an object, fixed at creation */
enum { NSHM_OBJ_READONLY = 1, NSHM_OBJ_EXECUTABLE = 2, NSHM_OBJ_RESERVE = 4, NSHM_OBJ_FILE = 8, NSHM_OBJ_HUGE = 16 };

typedef struct {
    uint64_t nonce;      /* 64 random bits, the object's identity; 0 while the record is being filled or is free */
    uint64_t size;       /* bytes of data, exact */
    int32_t token, data; /* segment ids; data is -1 where there is none */
    uint32_t token_size; /* shm_segsz of the token: random, so that a recurring id is told apart without touching a page */
    uint32_t uid;        /* shm_perm.cuid of both segments */
    uint32_t mode;       /* permission bits of data */
    uint32_t props;      /* NSHM_OBJ_* */
    uint16_t type;       /* NSHM_SECTION... */
    uint16_t length;     /* of the name, bytes */
    uint32_t hash;
    int64_t born;        /* CLOCK_REALTIME seconds */
    int32_t pid;         /* of the creator, in its PID namespace; for people only */
    uint32_t closing;    /* 1 while a closer asks, under the lock, whether it is the last: see nshm__recycle */
    char name[1088];     /* UTF-8, without prefix and terminator */
} nshm_record;

typedef struct {
    uint64_t magic;
    uint32_t version, capacity;
    uint64_t session;
    uint32_t lock;
    uint32_t used;
    char spare[4096 - 32];
    uint32_t hash[NSHM_CAPACITY];
    nshm_record record[NSHM_CAPACITY];
} nshm_registry;
#define NSHM_REGISTRY_SIZE sizeof(nshm_registry)

#ifdef __cplusplus
static_assert(sizeof(nshm_record) == 1152, "registry layout");
static_assert(offsetof(nshm_registry, hash) == 4096, "registry layout");
#else
_Static_assert(sizeof(nshm_record) == 1152, "registry layout");
_Static_assert(offsetof(nshm_registry, hash) == 4096, "registry layout");
#endif

/* A token without an object, kept for this process's next create; touched under the registry's lock only. */
typedef struct {
    void *at;
    int id;
    size_t size;
} nshm_spare;

/* One scope as this process sees it.  `registry` is attached on first need and stays until the process ends. */
typedef struct {
    int global;
    uint32_t uid;           /* effective user at nshm_scope_init */
    uint64_t session;       /* hash of the session string; 0 = the ordinary one */
    int64_t group;          /* Global: the group that may create, or -1 */
    int (*trusted)(uint32_t uid, int64_t group); /* Global: may a registry made by this user be believed?  NULL: root only */
    nshm_registry *registry;
    int writable;
    int id;
    uint64_t seed, count; /* for nshm__nonce */
    nshm_spare spare;
} nshm_scope;

/* A handle and its hold on the data.  Owned by the caller; not to be shared by threads without a lock of their own. */
typedef struct {
    nshm_scope *scope;
    void *token;   /* NULL: an unnamed object, or the handle is closed */
    void *data;    /* NULL: given away with nshm_release_data, or no data */
    uint64_t size, nonce;
    int token_id, data_id;
    uint32_t slot, uid, mode, props;
    int64_t group;
    size_t token_size;
    int readonly, created;
} nshm_handle;

static inline size_t nshm_page_round(uint64_t n) { return (size_t)((n + 4095u) & ~(uint64_t)4095u); }

/* Bytes of the data segment: exact, except that a reserved section's pages are followed by one bit each, set when committed. */
static inline size_t nshm_data_size(uint64_t size, uint32_t props) {
    return props & NSHM_OBJ_RESERVE ? nshm_page_round(size) + nshm_page_round(size) / 4096 / 8 + 1 : (size_t)size;
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

/* Is the segment `id`, which we have attached, the one meant?  1 yes, 0 no, -errno could not tell (never taken for "dead").
 * Checked after attaching: an attached id cannot recur. */
static inline int nshm__is(int id, uint32_t cuid, size_t size) {
    struct shmid_ds d;
    if (shmctl(id, IPC_STAT, &d)) return nshm__gone(errno) ? 0 : -errno;
    return d.shm_perm.cuid == cuid && d.shm_segsz == size && (d.shm_perm.mode & SHM_DEST);
}
/* Detach what turned out not to be it; its size is the kernel's to tell. */
static inline void nshm__detach_stranger(int id, void *at, size_t size) {
    struct shmid_ds d;
    nshm__detach(at, shmctl(id, IPC_STAT, &d) ? size : d.shm_segsz);
}
/* The same for a segment we may not read (another user's): without attaching, so only good enough to choose an error. */
static inline int nshm__exists(int id, uint32_t cuid, size_t size) {
    struct shmid_ds d;
    int index = id & 0x7fff; /* ipc/util.h: the low 15 bits index the table, 24 with the boot option ipcmni_extend */
    if (shmctl(index, SHM_STAT_ANY, &d) != id && shmctl(id & 0xffffff, SHM_STAT_ANY, &d) != id) return 0;
    return d.shm_perm.cuid == cuid && d.shm_segsz == size && (d.shm_perm.mode & SHM_DEST);
}

static inline int32_t nshm__key(const nshm_scope *s) {
    uint64_t seed[3] = {s->uid, s->session, (uint64_t)s->global};
    uint64_t h = nshm_hash64(seed, sizeof seed);
    return (int32_t)((uint32_t)(h ^ (h >> 32)) | 0x40000001u);
}
#define NSHM_MARK 0100 /* owner-execute: without meaning for shm(2); marks keyed segments of ours */

/* shmget + shmat + IPC_RMID.  Under the registry lock, hence the fixed key: what a creator killed between shmget and IPC_RMID
 * left (an id, no page) is found by the next creator of this user and scope, which removes it.  Never more than one. */
static inline int nshm__segment(const nshm_scope *s, size_t size, int mode, int extra, int64_t group, const void *neighbour,
                                int *id, void **at) {
    struct shmid_ds d;
    key_t key = nshm__key(s);
    int strangers = 0, e;
again:
    NSHM_STEP("segment");
    while ((*id = shmget(key, size, IPC_CREAT | IPC_EXCL | extra | mode | NSHM_MARK)) < 0) {
        if (errno != EEXIST) return -errno;
        int old = shmget(key, 0, 0), seen = old < 0 ? -1 : shmctl(old, IPC_STAT, &d);
        if (seen < 0 && (errno == ENOENT || nshm__gone(errno))) continue; /* it went meanwhile */
        /* Under the lock a keyed segment of ours is a dead creator's, also while it still counts as attached: the kernel gives
         * the lock up before it unmaps a dying process.  To mark it is what its creator was about to do. */
        if (seen == 0 && d.shm_perm.cuid == s->uid && (d.shm_perm.mode & NSHM_MARK)) shmctl(old, IPC_RMID, NULL);
        else key = ++strangers < 8 ? key + 2 : IPC_PRIVATE; /* a stranger sits on our key: it must not stop us */
    }
    NSHM_STEP("segment-made");
    *at = nshm__attach_below(neighbour, size, *id, 0);
    e = errno;
    if (!*at && nshm__gone(e)) goto again; /* somebody with another registry (ipcrm) took it for a dead creator's */
    NSHM_STEP("segment-attached");
    if (*at && group >= 0) {
        if (shmctl(*id, IPC_STAT, &d)) goto fail;
        d.shm_perm.gid = (gid_t)group;
        if (shmctl(*id, IPC_SET, &d)) goto fail;
    }
    if (shmctl(*id, IPC_RMID, NULL) && *at) goto fail;
    NSHM_STEP("segment-removed");
    return *at ? 0 : -e;
fail:
    e = errno;
    shmctl(*id, IPC_RMID, NULL);
    nshm__detach(*at, size);
    *at = NULL;
    return -e;
}

/* ------------------------------------------------------------------------------------------------ the registry's lock
 * A futex word holding the owner's thread id, given up by the kernel when the owner dies (set_robust_list(2)).  We enter the
 * word only as list_op_pending of this thread's robust list, for the few microseconds we hold it, so the kernel and libc never
 * follow a pointer out of shared memory.  Nothing needs repair after a death: every change is published by one store.
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
static inline void nshm__pend(struct robust_list_head *r, uint32_t *word) {
    if (!r) return;
    struct robust_list *node = word ? (struct robust_list *)((char *)word - r->futex_offset) : NULL;
    /* Read by the kernel when this thread ends, on this thread: program order is all it needs. */
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    *(struct robust_list *volatile *)&r->list_op_pending = node;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}
static __thread struct robust_list_head *nshm__held; /* between lock and unlock of one thread */

static inline int nshm__lock(nshm_registry *t, int wait) {
    uint32_t me = (uint32_t)syscall(SYS_gettid), waiters = 0;
    struct robust_list_head *r = nshm__held = nshm__robust(me);
    struct timespec start = {0, 0}, now, pause = {0, 100000000};
    for (int spins = 0;;) {
        uint32_t v = __atomic_load_n(&t->lock, __ATOMIC_RELAXED);
        if (!v || (v & FUTEX_OWNER_DIED)) {
            uint32_t mine = me | waiters | (v & FUTEX_WAITERS);
            nshm__pend(r, &t->lock);
            if (__atomic_compare_exchange_n(&t->lock, &v, mine, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
                NSHM_STEP("locked");
                return 0;
            }
            nshm__pend(r, NULL);
            continue;
        }
        if (!wait) return -EBUSY;
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
 *      one that scans later sees the other.  A candidate that turned ripe is never dropped. */
static inline int nshm__registry_perm(const nshm_scope *s) { return s->global ? (s->group >= 0 ? 0664 : 0644) : 0600; }

static inline int nshm__scan(nshm_scope *s, int own, int writable, int *rivals, int *lowest, int *found) {
    struct shminfo info;
    struct shmid_ds d;
    int max = shmctl(0, IPC_INFO, (struct shmid_ds *)&info), forbidden = 0; /* before anything can fail: */
    *rivals = 0;
    *lowest = own;
    *found = -1;
    if (max < 0) return -errno;
    for (int i = 0; i <= max; i++) {
        int id = shmctl(i, SHM_STAT_ANY, &d);
        if (id < 0) {
            if (errno == EINVAL || errno == EIDRM) continue;
            return -errno;
        }
        if (id == own || d.shm_segsz != NSHM_REGISTRY_SIZE || !(d.shm_perm.mode & NSHM_MARK)) continue;
        uint32_t by = d.shm_perm.cuid;
        if (s->global ? !(by == 0 || (by == s->uid && s->writable) || (s->trusted && s->trusted(by, s->group))) : by != s->uid)
            continue; /* a registry planted by somebody without the right is nobody's */
        if (s->global != !!(d.shm_perm.mode & 0044)) continue;
        if (!(d.shm_perm.mode & SHM_DEST)) {
            /* Its creator has not marked it yet: it will scan after that and see us.  Not attached by us even to look (reading
             * would give it a page).  Unless its creator was killed here. */
            if (by == s->uid && !d.shm_nattch && ((kill(d.shm_cpid, 0) && errno == ESRCH) || time(NULL) - d.shm_ctime > 5))
                shmctl(id, IPC_RMID, NULL);
            continue;
        }
        if (!d.shm_nattch) continue;
        nshm_registry *t = (nshm_registry *)nshm__attach(id, !writable);
        if (!t) {
            if (nshm__gone(errno)) continue;
            if (errno != EACCES) return -errno;
            t = writable ? (nshm_registry *)nshm__attach(id, 1) : NULL; /* another session's is not in our way */
            int other = t && t->session != s->session;
            nshm__detach(t, NSHM_REGISTRY_SIZE);
            if (other) continue;
            forbidden = 1; /* Global without the right to create */
            ++*rivals;
            continue;
        }
        uint64_t magic = __atomic_load_n(&t->magic, __ATOMIC_ACQUIRE);
        if (magic == NSHM_MAGIC && nshm__is(id, by, NSHM_REGISTRY_SIZE) > 0) {
            int ours = t->session == s->session;
            if (ours && (t->version != NSHM_VERSION || t->capacity != NSHM_CAPACITY)) {
                nshm__detach(t, NSHM_REGISTRY_SIZE);
                return -EPROTO; /* two registries of one scope would be two worlds, unknown to each other */
            }
            if (ours) {
                nshm_registry *none = NULL;
                if (__atomic_compare_exchange_n(&s->registry, &none, t, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) s->id = id;
                else nshm__detach(t, NSHM_REGISTRY_SIZE); /* another thread was faster */
                *found = id;
                return 0;
            }
        } else if (magic != NSHM_MAGIC && t->session == s->session) {
            ++*rivals;
            if (id < *lowest || *lowest < 0) *lowest = id;
        }
        nshm__detach(t, NSHM_REGISTRY_SIZE);
    }
    return forbidden ? -EACCES : 0;
}

#ifndef NSHM_REGISTRY_ROUNDS
#define NSHM_REGISTRY_ROUNDS 25000 /* of 0.2 ms and more: about 10 s until a stopped rival is reported */
#endif

/* Attach the scope's registry; -ENOENT if there is none and `make` is 0. */
static inline int nshm__registry(nshm_scope *s, int make) {
    struct timespec nap = {0, 200000};
    int rivals, lowest, found, r, id;
    if (__atomic_load_n(&s->registry, __ATOMIC_ACQUIRE)) {
        if (!make || s->writable) return 0;
        return -EPERM;
    }
    int writable = !s->global || s->writable || s->uid == 0;
    for (int round = 0; round < NSHM_REGISTRY_ROUNDS; round++) {
        if ((r = nshm__scan(s, -1, writable, &rivals, &lowest, &found)) && r != -EACCES) return r;
        if (found >= 0) {
            s->writable = writable;
            return make && !writable ? -EPERM : 0;
        }
        if (r == -EACCES && writable && round > 50) { /* not a candidate whose group is about to be set: made before the grant */
            if (make) return -EPERM;
            writable = 0;
            continue;
        }
        if (rivals) { nanosleep(&nap, NULL); continue; }
        if (!make) return -ENOENT;
        if (!writable) return -EPERM;
        NSHM_STEP("registry");
        id = shmget(IPC_PRIVATE, NSHM_REGISTRY_SIZE, IPC_CREAT | SHM_NORESERVE | nshm__registry_perm(s) | NSHM_MARK);
        if (id < 0) return -errno;
        NSHM_STEP("registry-made");
        nshm_registry *t = (nshm_registry *)nshm__attach(id, 0);
        if (!t) {
            if (nshm__gone(errno)) continue; /* taken for a dead creator's */
            r = -errno;
            shmctl(id, IPC_RMID, NULL);
            return r;
        }
        NSHM_STEP("registry-attached");
        if (s->group >= 0) {
            struct shmid_ds d;
            if (!shmctl(id, IPC_STAT, &d)) {
                d.shm_perm.gid = (gid_t)s->group;
                shmctl(id, IPC_SET, &d); /* on failure only we and root can create; no harm */
            }
        }
        if (shmctl(id, IPC_RMID, NULL)) {
            r = -errno;
            nshm__detach(t, NSHM_REGISTRY_SIZE);
            return r;
        }
        NSHM_STEP("registry-removed"); /* only now pages may be touched: a kill frees them */
        t->session = s->session;
        t->version = NSHM_VERSION;
        t->capacity = NSHM_CAPACITY;
        __atomic_thread_fence(__ATOMIC_SEQ_CST); /* our session is to be seen by whoever scans after us */
        for (r = -ETIMEDOUT; round < NSHM_REGISTRY_ROUNDS; round++, nanosleep(&nap, NULL), r = -ETIMEDOUT) {
            r = nshm__scan(s, id, writable, &rivals, &lowest, &found);
            if (r && r != -EACCES) break;
            if (found >= 0) break; /* somebody else's turned ripe */
            if (!rivals) {
                NSHM_STEP("registry-alone");
                __atomic_store_n(&t->magic, NSHM_MAGIC, __ATOMIC_RELEASE);
                NSHM_STEP("registry-ripe");
                nshm_registry *none = NULL;
                if (__atomic_compare_exchange_n(&s->registry, &none, t, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
                    s->id = id;
                    s->writable = 1;
                    return 0;
                }
                r = 0; /* unreachable while at most one lives; harmless: two attachments of one segment cannot arise here */
                break;
            }
            if (lowest != id) break;
        }
        nshm__detach(t, NSHM_REGISTRY_SIZE);
        if (found >= 0) {
            s->writable = writable;
            return make && !writable ? -EPERM : 0;
        }
        if (r && r != -EACCES) return r;
        nanosleep(&nap, NULL);
    }
    return -ETIMEDOUT;
}

/* `session`: NULL or "" for the ordinary one.  `may_create`: Global only; root always may. */
static inline void nshm_scope_init(nshm_scope *s, int global, const char *session, int64_t group, int may_create) {
    memset(s, 0, sizeof *s);
    s->global = global;
    s->uid = (uint32_t)geteuid();
    s->session = session && *session ? nshm_hash64(session, strlen(session)) : 0;
    s->group = global ? group : -1;
    s->writable = !global || may_create || s->uid == 0;
    s->id = -1;
}

/* ------------------------------------------------------------------------------------------------ slots */
/* The first 64 bytes of a record are its facts, validated by the nonce: it is cleared before a record changes and set last. */
static inline int nshm__copy(const nshm_record *r, nshm_record *facts) {
    uint64_t n = __atomic_load_n(&r->nonce, __ATOMIC_ACQUIRE);
    if (!n) return 0;
    memcpy(facts, r, offsetof(nshm_record, name));
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return __atomic_load_n(&r->nonce, __ATOMIC_RELAXED) == n && facts->nonce == n && facts->length <= NSHM_NAME_MAX;
}
static inline uint32_t nshm__used(const nshm_registry *t) {
    uint32_t n = __atomic_load_n(&t->used, __ATOMIC_ACQUIRE);
    return n <= NSHM_CAPACITY ? n : NSHM_CAPACITY;
}
/* The slot of a name, from `from` on; facts get a consistent copy of its record.  -1: none.  Without a lock: a name that is
 * there throughout is found, because a record never moves. */
static inline int nshm__find(const nshm_registry *t, uint32_t from, uint32_t hash, const char *name, size_t n, nshm_record *facts) {
    uint32_t used = nshm__used(t);
    for (uint32_t i = from; i < used; i++) {
        if (__atomic_load_n(&t->hash[i], __ATOMIC_ACQUIRE) != hash) continue;
        const nshm_record *r = &t->record[i];
        if (!nshm__copy(r, facts) || facts->length != n || memcmp(r->name, name, n)) continue;
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
static inline int nshm__dead(const nshm_record *r) { /* does the kernel know its token no longer? */
    struct shmid_ds d;
    if (!shmctl(r->token, IPC_STAT, &d)) return d.shm_perm.cuid != r->uid || d.shm_segsz != r->token_size || !(d.shm_perm.mode & SHM_DEST);
    return errno == EACCES ? !nshm__exists(r->token, r->uid, r->token_size) : nshm__gone(errno);
}
/* under the lock: a free slot; dead ones (killed holders) are collected when the table would grow past a multiple of 256 */
static inline int nshm__slot(nshm_registry *t) {
    uint32_t used = nshm__used(t), i;
    for (i = 0; i < used; i++)
        if (!t->hash[i]) return (int)i;
    if (used && !(used & 255)) {
        for (i = used; i-- > 0;)
            if (nshm__dead(&t->record[i])) nshm__free(t, i);
        used = nshm__used(t);
        for (i = 0; i < used; i++)
            if (!t->hash[i]) return (int)i;
    }
    if (used >= NSHM_CAPACITY) return -ENFILE;
    return (int)used;
}
/* under the lock, or a try: free the slot if it still is that object's */
static inline void nshm__tidy(nshm_scope *s, uint32_t slot, uint64_t nonce) {
    nshm_registry *t = s->registry;
    if (!s->writable || slot >= NSHM_CAPACITY || __atomic_load_n(&t->record[slot].nonce, __ATOMIC_RELAXED) != nonce) return;
    if (nshm__lock(t, 0)) return; /* busy: a dead entry is harmless */
    if (t->record[slot].nonce == nonce) nshm__free(t, slot);
    nshm__unlock(t);
}

/* ------------------------------------------------------------------------------------------------ handles */
/* Attach what the facts name.  -ENOENT: dead.  The kernel decides: a token that can be attached is held by somebody. */
static inline int nshm__adopt(nshm_scope *s, const nshm_record *f, uint32_t slot, int readonly, nshm_handle *h) {
    const nshm_record *now = &s->registry->record[slot];
    size_t size = nshm_data_size(f->size, f->props);
    int e;
    void *token = nshm__attach(f->token, 1), *data = NULL;
    NSHM_STEP("adopt-token");
    if (!token) {
        e = errno;
        if (e == EACCES) return nshm__exists(f->token, f->uid, f->token_size) ? -EACCES : -ENOENT;
        return nshm__gone(e) ? -ENOENT : -e;
    }
    if ((e = nshm__is(f->token, f->uid, f->token_size)) <= 0) {
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
        const void *neighbour = f->props & NSHM_OBJ_HUGE ? NULL : token;
        data = nshm__attach_below(neighbour, size, f->data, readonly || (f->props & NSHM_OBJ_READONLY));
        NSHM_STEP("adopt-data");
        if (!data) {
            e = errno; /* gone: its last holder is just being torn down */
            nshm__detach(token, f->token_size);
            if (e == EACCES) return -EACCES;
            return nshm__gone(e) ? -ENOENT : -e;
        }
        if ((e = nshm__is(f->data, f->uid, size)) <= 0) {
            nshm__detach_stranger(f->data, data, size);
            nshm__detach(token, f->token_size);
            return e ? e : -ENOENT;
        }
        nshm__advise(data, size, f->props);
    }
    h->scope = s;
    h->token = token;
    h->data = data;
    h->size = f->size;
    h->nonce = f->nonce;
    h->token_id = f->token;
    h->data_id = f->data;
    h->token_size = f->token_size;
    h->slot = slot;
    h->uid = f->uid;
    h->mode = f->mode;
    h->props = f->props;
    h->readonly = readonly;
    h->group = -1;
    h->created = 0;
    return 0;
}
/* Look a name up and adopt it.  -ENOENT: nobody holds it; then *stale is its dead slot, or -1.  -EAGAIN: a change was under
 * way; look again under the lock (never returned there). */
static inline int nshm__lookup(nshm_scope *s, uint16_t type, const char *name, size_t n, int readonly, int locked,
                               nshm_handle *h, int *stale, uint64_t *stale_nonce) {
    nshm_record facts;
    uint32_t hash = nshm__name_hash(name, n);
    int slot = -1, r = -ENOENT, patience = 1000;
    *stale = -1;
    while ((slot = nshm__find(s->registry, (uint32_t)(slot + 1), hash, name, n, &facts)) >= 0) {
        if (facts.type != type) {
            if (nshm__dead(&facts)) r = -ENOENT;
            else return -EBADMSG;
        } else if ((r = nshm__adopt(s, &facts, (uint32_t)slot, readonly, h)) == -EAGAIN && locked) {
            /* whoever was closing has died: the kernel's answer counts again */
            if (!patience--) return -EUCLEAN; /* somebody changes the record without the lock */
            __atomic_store_n(&s->registry->record[slot].closing, 0, __ATOMIC_SEQ_CST);
            slot--;
            continue;
        }
        if (r != -ENOENT) return r;
        *stale = slot;
        *stale_nonce = facts.nonce;
    }
    return r;
}

/* An identity: unique, not secret.  Two calls differ in time, thread or count, two machines' lives in the seed. */
static inline int nshm__nonce(nshm_scope *s, uint64_t *nonce) {
    struct timespec now;
    uint64_t x;
    while (!s->seed)
        if (getrandom(&s->seed, sizeof s->seed, 0) < 0 && errno != EINTR) return -errno;
    clock_gettime(CLOCK_MONOTONIC, &now);
    x = s->seed + (uint64_t)now.tv_nsec + ((uint64_t)now.tv_sec << 30) + ((uint64_t)syscall(SYS_gettid) << 42) +
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
static inline int nshm__alone(int id) {
    struct shmid_ds d;
    return !shmctl(id, IPC_STAT, &d) && d.shm_nattch == 1;
}
static inline int nshm__take_spare(nshm_scope *s, nshm_handle *h) { /* under the lock */
    void *at = s->spare.at;
    if (!at) return 0;
    s->spare.at = NULL;
    if (!nshm__alone(s->spare.id)) { /* shared with a fork since: that process would keep our name */
        nshm__detach(at, s->spare.size);
        return 0;
    }
    h->token = at;
    h->token_id = s->spare.id;
    h->token_size = s->spare.size;
    return 1;
}
/* Close by keeping the token.  0: done (name gone, token kept); else the caller closes in the ordinary way. */
static inline int nshm__recycle(nshm_handle *h) {
    nshm_scope *s = h->scope;
    nshm_registry *t = s->registry;
    nshm_record *rec;
    int r = -1;
    if (!h->created || !nshm__recyclable(s, h->mode, h->props, h->group) || h->uid != s->uid || h->slot >= NSHM_CAPACITY) return r;
    rec = &t->record[h->slot];
    if (__atomic_load_n(&rec->nonce, __ATOMIC_RELAXED) != h->nonce || nshm__lock(t, 0)) return r;
    if (rec->nonce == h->nonce && !s->spare.at) {
        __atomic_store_n(&rec->closing, 1, __ATOMIC_SEQ_CST);
        NSHM_STEP("closing");
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        if (nshm__alone(h->token_id)) {
            nshm__free(t, h->slot); /* the name is gone from here on */
            NSHM_STEP("recycled");
            s->spare.at = h->token;
            s->spare.id = h->token_id;
            s->spare.size = h->token_size;
            h->token = NULL;
            r = 0;
        }
        __atomic_store_n(&rec->closing, 0, __ATOMIC_SEQ_CST);
    }
    nshm__unlock(t);
    return r;
}

/* Make the segments of a new object (under the lock for a named one, see nshm__segment). */
static inline int nshm__make(nshm_scope *s, uint64_t size, unsigned mode, int64_t group, uint32_t props, size_t token_room, nshm_handle *h) {
    int r = nshm__nonce(s, &h->nonce);
    unsigned readers = (mode >> 2 | mode >> 1) & 011; /* whoever may read or write the data may hold the name */
    unsigned bits = mode & 066;
    if (r) return r;
    if (props & NSHM_OBJ_EXECUTABLE) bits |= (mode & 044) >> 2; /* SHM_EXEC asks for the right to execute, of readers as well */
    h->token_size = token_room + 1 + h->nonce % NSHM_TOKEN_SPAN;
    h->size = size;
    h->uid = s->uid;
    h->mode = mode;
    h->props = props;
    h->group = group;
    h->scope = s;
    h->readonly = 0;
    h->created = 1;
    h->data = NULL;
    h->data_id = -1;
    if (!(nshm__recyclable(s, mode, props, group) && !token_room && nshm__take_spare(s, h))) {
        r = nshm__segment(s, h->token_size, (int)(0600 | (readers & 077) << 2), SHM_NORESERVE, group, NULL, &h->token_id, &h->token);
        if (r) return r;
    }
    if (!(props & NSHM_OBJ_FILE) && size) {
        int extra = props & NSHM_OBJ_RESERVE ? SHM_NORESERVE : 0;
        const void *neighbour = props & NSHM_OBJ_HUGE ? NULL : h->token;
        r = nshm__segment(s, nshm_data_size(size, props), (int)(0600 | bits), extra, group, neighbour, &h->data_id, &h->data);
        nshm__advise(h->data, size, props);
        if (r) {
            nshm__detach(h->token, h->token_size);
            h->token = NULL;
        }
    }
    return r;
}
static inline void nshm__drop(nshm_handle *h) { /* the name first, then the memory */
    size_t n = nshm_page_round(nshm_data_size(h->size, h->props));
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
    nshm_record *rec = &t->record[slot];
    __atomic_store_n(&t->hash[slot], 0, __ATOMIC_RELEASE);
    __atomic_store_n(&rec->nonce, 0, __ATOMIC_SEQ_CST); /* copies taken from here on are refused ... */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    NSHM_STEP("filling");
    rec->size = h->size;
    rec->token = h->token_id;
    rec->data = h->data_id;
    rec->token_size = (uint32_t)h->token_size;
    rec->uid = h->uid;
    rec->mode = h->mode;
    rec->props = h->props;
    rec->type = type;
    rec->length = (uint16_t)n;
    rec->hash = nshm__name_hash(name, n);
    rec->born = time(NULL);
    rec->pid = getpid();
    rec->closing = 0;
    memcpy(rec->name, name, n);
    if (slot >= nshm__used(t)) __atomic_store_n(&t->used, slot + 1, __ATOMIC_RELEASE);
    NSHM_STEP("filled");
    __atomic_store_n(&rec->nonce, nonce, __ATOMIC_RELEASE); /* ... until here */
    NSHM_STEP("publishing");
    __atomic_store_n(&t->hash[slot], rec->hash, __ATOMIC_RELEASE); /* the name exists from here on */
    NSHM_STEP("published");
}

/* Called under the lock with the handle of a new object, before it is published: fill its token's page, say. */
typedef int (*nshm_filler)(nshm_handle *h, void *context);

/* Create a named object, or, without NSHM_EXCLUSIVE, open a living one (h->created tells which).
 * `mode`: permission bits for others (0600: the user alone).  `group`: the group that the group bits mean, or -1. */
static inline int nshm_create(nshm_scope *s, uint16_t type, const char *name, size_t n, uint64_t size, unsigned mode, int64_t group,
                              uint32_t props, int flags, size_t token_room, nshm_filler fill, void *context, nshm_handle *h) {
    int r, stale, slot, readonly = flags & NSHM_READONLY;
    uint64_t stale_nonce = 0;
    memset(h, 0, sizeof *h);
    if (!n || n > NSHM_NAME_MAX) return n ? -ENAMETOOLONG : -EINVAL;
    r = nshm__registry(s, 1);
    if (r == -EPERM && !(flags & NSHM_EXCLUSIVE) && !nshm__registry(s, 0) && /* no right to create, but it may exist */
        (r = nshm__lookup(s, type, name, n, readonly, 0, h, &stale, &stale_nonce)) != -ENOENT)
        return r;
    if (r) return r == -ENOENT ? -EPERM : r;
    nshm_registry *t = s->registry;
    if (!(flags & NSHM_EXCLUSIVE)) {
        r = nshm__lookup(s, type, name, n, readonly, 0, h, &stale, &stale_nonce);
        if (r != -ENOENT && r != -EAGAIN) return r;
    }
    if ((r = nshm__lock(t, 1))) return r;
    r = nshm__lookup(s, type, name, n, readonly, 1, h, &stale, &stale_nonce); /* again: somebody may have been faster */
    if (r == -EACCES && (flags & NSHM_EXCLUSIVE)) r = -EEXIST;
    if (r == -EBADMSG || r != -ENOENT) {
        nshm__unlock(t);
        if (!r && (flags & NSHM_EXCLUSIVE)) { nshm__drop(h); r = -EEXIST; }
        return r;
    }
    slot = stale >= 0 ? stale : nshm__slot(t); /* a dead object's slot is taken over */
    if (slot < 0) r = slot;
    else r = nshm__make(s, size, mode, group, props, token_room, h);
    if (!r && fill && (r = fill(h, context))) nshm__drop(h);
    if (r) {
        nshm__unlock(t);
        return r;
    }
    nshm__publish(t, (uint32_t)slot, h, type, h->nonce, name, n);
    h->slot = (uint32_t)slot;
    nshm__unlock(t);
    return 0;
}

/* Open a living object.  No lock unless a change was under way or a dead entry is tidied away. */
static inline int nshm_open(nshm_scope *s, uint16_t type, const char *name, size_t n, int flags, nshm_handle *h) {
    int r, stale;
    uint64_t stale_nonce = 0;
    memset(h, 0, sizeof *h);
    if (!n || n > NSHM_NAME_MAX) return n ? -ENAMETOOLONG : -EINVAL;
    if ((r = nshm__registry(s, 0))) return r;
    r = nshm__lookup(s, type, name, n, flags & NSHM_READONLY, 0, h, &stale, &stale_nonce);
    if (r == -EAGAIN) {
        if (!s->writable) return -ENOENT; /* not reached: only Local tokens are recycled */
        if ((r = nshm__lock(s->registry, 1))) return r;
        r = nshm__lookup(s, type, name, n, flags & NSHM_READONLY, 1, h, &stale, &stale_nonce);
        nshm__unlock(s->registry);
    }
    if (r == -ENOENT && stale >= 0) nshm__tidy(s, (uint32_t)stale, stale_nonce);
    return r;
}

/* An unnamed section: data alone; its attachments are its handles and views. */
static inline int nshm_create_unnamed(nshm_scope *s, uint64_t size, unsigned mode, uint32_t props, nshm_handle *h) {
    memset(h, 0, sizeof *h);
    int r = nshm__nonce(s, &h->nonce);
    if (r) return r;
    h->scope = s;
    h->size = size;
    h->uid = s->uid;
    h->mode = mode;
    h->props = props;
    h->token_id = h->data_id = -1;
    h->created = 1;
    if ((props & NSHM_OBJ_FILE) || !size) return 0;
    /* IPC_PRIVATE and no lock: a kill within the next two calls leaves an id without a page; shm_rmid_forced avoids it */
    h->data_id = shmget(IPC_PRIVATE, nshm_data_size(size, props), IPC_CREAT | (props & NSHM_OBJ_RESERVE ? SHM_NORESERVE : 0) | 0600 | (mode & 066) | NSHM_MARK);
    if (h->data_id < 0) return -errno;
    h->data = nshm__attach(h->data_id, 0);
    nshm__advise(h->data, size, props);
    r = h->data ? 0 : -errno;
    if (shmctl(h->data_id, IPC_RMID, NULL) && h->data) { /* refused: it would outlive everybody */
        r = -errno;
        nshm__detach(h->data, nshm_data_size(size, props));
        h->data = NULL;
    }
    return r;
}

/* Another handle to the same object, never with more access. */
static inline int nshm_duplicate(const nshm_handle *h, int readonly, nshm_handle *to) {
    *to = *h;
    to->token = to->data = NULL;
    to->created = 0;
    to->readonly = h->readonly || readonly;
    if (h->token && !(to->token = nshm__attach(h->token_id, 1))) return -errno;
    if (h->data_id >= 0 && !(to->data = nshm__attach(h->data_id, to->readonly || (h->props & NSHM_OBJ_READONLY)))) {
        int e = errno;
        nshm__detach(to->token, to->token_size);
        to->token = NULL;
        return -e;
    }
    nshm__advise(to->data, h->size, h->props);
    return 0;
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
    if (h->scope->registry && shmctl(h->token_id, IPC_STAT, &d) && nshm__gone(errno)) nshm__tidy(h->scope, h->slot, h->nonce);
}

/* Close the handle.  With `keep_data` the data attachment stays and is the caller's (a view): munmap it later. */
static inline void nshm_close(nshm_handle *h, int keep_data) {
    int named = h->token != NULL;
    if (keep_data) h->data = NULL;
    if (named && !nshm__recycle(h)) named = 0;
    nshm__drop(h);
    NSHM_STEP("closed");
    if (named) nshm__tidy_after(h);
}

/* Give the name up now, keep the data until nshm_close. */
static inline void nshm_close_name(nshm_handle *h) {
    void *data = h->data;
    if (!h->token) return;
    h->data = NULL;
    nshm__drop(h);
    h->data = data;
    nshm__tidy_after(h);
}

/* ------------------------------------------------------------------------------------------------ handing a handle over
 * A parcel is a record of its own, in the user's Local registry under a name no user can choose, leading to the same segments.
 * Nobody can attach memory for another process, so the sender keeps `parked` until the receiver has attached it and freed the
 * record (which changes its nonce), or is gone.  What is handed over besides the segments stands in a note behind the longest name. */
typedef struct {
    uint64_t nonce;  /* the object's: the parcel's record has one of its own */
    uint32_t slot;   /* of the object's own record, and in which registry */
    int32_t global;
    uint16_t type;   /* of the object: the record says NSHM_PARCEL */
    uint16_t readonly;
    uint32_t access; /* the caller's own */
} nshm_note;
#define NSHM_NOTE 1056u /* where in nshm_record.name; a multiple of 8 */
#ifdef __cplusplus
static_assert(NSHM_NOTE > NSHM_NAME_MAX && NSHM_NOTE + sizeof(nshm_note) <= sizeof(((nshm_record *)0)->name), "note layout");
#else
_Static_assert(NSHM_NOTE > NSHM_NAME_MAX && NSHM_NOTE + sizeof(nshm_note) <= sizeof(((nshm_record *)0)->name), "note layout");
#endif

static inline uint32_t *nshm__low_half(uint64_t *word) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return (uint32_t *)word + 1;
#else
    return (uint32_t *)word;
#endif
}
/* `s` is the Local scope, wherever the object is.  `type` is the object's, `access` what nshm_receive shall tell. */
static inline int nshm_send(nshm_scope *s, const nshm_handle *h, uint16_t type, uint32_t access, const char *name, size_t n,
                            int readonly, nshm_handle *parked) {
    nshm_handle token_only = *h;
    nshm_note note = {h->nonce, h->slot, h->scope->global, type, (uint16_t)!!readonly, access};
    uint64_t nonce = 0;
    int r, slot = -1;
    if ((r = nshm__registry(s, 1)) || (r = nshm__nonce(s, &nonce)) || (r = nshm_duplicate(h, readonly, parked))) return r;
    nshm_registry *t = s->registry;
    if ((r = nshm__lock(t, 1))) {
        nshm__drop(parked);
        return r;
    }
    if ((slot = nshm__slot(t)) < 0) r = slot;
    else if (!parked->token && !(r = nshm__make(s, 0, 0600, -1, 0, 0, &token_only))) {
        parked->token = token_only.token; /* an unnamed section has no token: the parcel brings one */
        parked->token_id = token_only.token_id;
        parked->token_size = token_only.token_size;
    }
    if (!r) {
        parked->scope = s;
        parked->slot = (uint32_t)slot;
        parked->nonce = nonce;
        /* Nobody believes the note before the nonce is there; what stood here of a dead record nobody reads any more. */
        __atomic_store_n(&t->record[slot].nonce, 0, __ATOMIC_SEQ_CST);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        memcpy(t->record[slot].name + NSHM_NOTE, &note, sizeof note);
        nshm__publish(t, parked->slot, parked, NSHM_PARCEL, parked->nonce, name, n);
    }
    nshm__unlock(t);
    if (r) nshm__drop(parked);
    return r;
}
/* Has the receiver attached it?  The word's change is told to who sleeps on its low half (a shared futex). */
static inline uint64_t *nshm_parcel_word(const nshm_handle *parked) { return &parked->scope->registry->record[parked->slot].nonce; }
static inline int nshm_parcel_claimed(const nshm_handle *parked) {
    return __atomic_load_n(nshm_parcel_word(parked), __ATOMIC_ACQUIRE) != parked->nonce;
}
/* Let go of a parcel, claimed or not.  Its slot must go with it: its token may be the spare of this process next.  Not done, and to
 * be tried again: -EBUSY without `wait`, else -EINTR or -ETIMEDOUT. */
static inline int nshm_unsend(nshm_handle *parked, int wait) {
    nshm_registry *t = parked->scope->registry;
    int r;
    if (!nshm_parcel_claimed(parked)) {
        if ((r = nshm__lock(t, wait))) return r;
        if (t->record[parked->slot].nonce == parked->nonce) nshm__free(t, parked->slot);
        nshm__unlock(t);
    }
    nshm__drop(parked);
    return 0;
}
/* Adopt a parcel and free its slot.  The handle is one to the object itself: its identity, its record and its registry.
 * `global` is the scope of a Global object. */
static inline int nshm_receive(nshm_scope *s, nshm_scope *global, const char *name, size_t n, nshm_handle *h, nshm_note *note) {
    nshm_record facts;
    nshm_record *parcel;
    int slot, r = nshm__registry(s, 0);
    memset(h, 0, sizeof *h);
    if (r) return r;
    if ((slot = nshm__find(s->registry, 0, nshm__name_hash(name, n), name, n, &facts)) < 0 || facts.type != NSHM_PARCEL) return -ENOENT;
    parcel = &s->registry->record[slot];
    memcpy(note, parcel->name + NSHM_NOTE, sizeof *note);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (__atomic_load_n(&parcel->nonce, __ATOMIC_RELAXED) != facts.nonce) return -ENOENT; /* somebody else was taking it */
    if (note->global && (r = nshm__registry(global, 0))) return r;
    if ((r = nshm__adopt(s, &facts, (uint32_t)slot, note->readonly, h))) return r == -EAGAIN ? -ENOENT : r;
    while ((r = nshm__lock(s->registry, 1)) == -EINTR)
        ;
    if (!r) {
        if (parcel->nonce == facts.nonce) nshm__free(s->registry, (uint32_t)slot);
        nshm__unlock(s->registry);
        syscall(SYS_futex, nshm__low_half(&parcel->nonce), FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
    } /* else a stopped creator holds the lock: the sender keeps its handle for as long as we live */
    h->nonce = note->nonce;
    h->slot = note->slot;
    if (note->global) h->scope = global;
    return 0;
}

/* ------------------------------------------------------------------------------------------------ looking around */
typedef struct {
    nshm_record record; /* name included */
    uint32_t handles;   /* attachments of the token */
    uint32_t mappings;  /* attachments of the data, by handles and views together; 0 without data */
} nshm_info;

/* The living object in the first used slot at or after *cursor; -ENOENT at the end.  Attaches nothing. */
static inline int nshm_next(nshm_scope *s, uint32_t *cursor, nshm_info *info) {
    struct shmid_ds d;
    int r = nshm__registry(s, 0);
    if (r) return r;
    for (; *cursor < nshm__used(s->registry); ++*cursor) {
        const nshm_record *rec = &s->registry->record[*cursor];
        if (!__atomic_load_n(&s->registry->hash[*cursor], __ATOMIC_ACQUIRE) || !nshm__copy(rec, &info->record)) continue;
        memcpy(info->record.name, rec->name, info->record.length);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (__atomic_load_n(&rec->nonce, __ATOMIC_RELAXED) != info->record.nonce) continue;
        int id = info->record.token;
        if (shmctl(id, IPC_STAT, &d) && shmctl(id & 0x7fff, SHM_STAT_ANY, &d) != id) continue;
        if (d.shm_perm.cuid != info->record.uid || d.shm_segsz != info->record.token_size || !d.shm_nattch) continue;
        info->handles = (uint32_t)d.shm_nattch;
        info->mappings = 0;
        id = info->record.data;
        if (id >= 0 && (!shmctl(id, IPC_STAT, &d) || shmctl(id & 0x7fff, SHM_STAT_ANY, &d) == id)) info->mappings = (uint32_t)d.shm_nattch;
        ++*cursor;
        return 0;
    }
    return -ENOENT;
}
#endif
