/* namedshm/layout.h - the memory format: what programs of all languages and versions agree on (docs/format-linux.md).
 *
 * Owns:   the bytes of a registry, its records and the notes of parcels; the marks in the modes of segments; the sizes of
 *         segments; the hash of a name.  Whoever changes any of it raises NSHM_VERSION.
 * Needs:  system.h.
 */
#ifndef NAMEDSHM_PART_LAYOUT_H
#define NAMEDSHM_PART_LAYOUT_H
#include "system.h"

/* The registry segment, version 3.  It is made with SHM_NORESERVE: a page exists once it was written to.  Its size is NSHM_REGISTRY_SIZE
 * plus a random number below NSHM_REGISTRY_SPAN.  Id, size and shm_ctime together tell this registry from every other segment, in any
 * IPC namespace, by one IPC_STAT.
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
 *   44       4     leaving     under the lock                (a slot + 1: its name goes over to `heir`, see naming.h; 0: none)
 *   48       4     heir        under the lock                -
 *   52       4     moves       under the lock                raised when a name is at its new slot, before its old one is freed
 *   56       4     awaited     whoever waits for a name      see arrivals.h
 *   60       4     arrivals    whoever publishes one         the same; a futex
 *   4088     4     lock        whoever locks (robust futex)  -
 *   4096     4096  gap         nobody                        each process that may write maps a private page over it: see nshm__lay_gap
 *   8192     4*N   hash[N]     under the lock                0 = free slot; set before the nonce, cleared before it (release)
 *   8192+4N  1152N record[N]   under the lock                nonce validates a copy: see nshm__copy
 */
#define NSHM_MAGIC 0x314c42544d48534eULL /* "NSHMTBL1" */
#define NSHM_VERSION 3u
#define NSHM_CAPACITY 16384u
#define NSHM_NAME_MAX 1036u /* bytes: 259 characters of at most 4 bytes of UTF-8 */
#define NSHM_TOKEN_SPAN 65536u /* a token's size is random: 1 to this, plus its room */
#define NSHM_TOKEN_ROOM 65536u /* most room in a token, for the location of a file */
#define NSHM_REGISTRY_SPAN 1048576u
#define NSHM_WORDS_SIZE 4096u /* data of a mutex, event or semaphore */

enum { NSHM_SECTION = 1, NSHM_MUTEX = 2, NSHM_EVENT = 3, NSHM_SEMAPHORE = 4, NSHM_QUEUE = 5, NSHM_PARCEL = 8 };

/* properties of an object, fixed at creation */
enum { NSHM_OBJ_READONLY = 1, NSHM_OBJ_EXECUTABLE = 2, NSHM_OBJ_RESERVE = 4, NSHM_OBJ_FILE = 8, NSHM_OBJ_HUGE = 16, NSHM_OBJ_ALL = 31 };
/* Beside NSHM_OBJ_*, for whoever makes a section; kept nowhere, since nobody else needs to know: the kernel counts its memory page by
 * page, as they are touched, and not all of it now. */
enum { NSHM_UNCOUNTED = 32 };
static inline int nshm__reserving(uint32_t props) { return props & ((uint32_t)NSHM_OBJ_RESERVE | (uint32_t)NSHM_UNCOUNTED) ? SHM_NORESERVE : 0; }

typedef struct {
    uint64_t nonce;      /* 64 random bits, the object's identity; 0 while the record is being filled or is free */
    uint64_t size;       /* bytes of data, exact */
    int32_t token, data; /* segment ids; data is -1 where there is none */
    uint32_t token_size; /* shm_segsz of the token: random, to recognize a later segment with the same id without touching a page */
    uint32_t maker;      /* Global: shm_perm.cuid of both segments, as the user namespace that owns the IPC namespace numbers it; Local: 0 */
    uint32_t mode;       /* permission bits of data */
    uint32_t props;      /* NSHM_OBJ_* */
    uint16_t type;       /* NSHM_SECTION...; NSHM_PARCEL and the type of what it carries */
    uint16_t length;     /* of the name, bytes */
    uint32_t hash;
    int64_t born;        /* CLOCK_REALTIME seconds */
    int32_t pid;         /* of the creator, in its PID namespace; shown to people, never used */
    uint32_t closing;    /* 0, NSHM__ASKING or NSHM__LEAVING; an opener that sees a mark looks again with the lock */
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
    uint32_t awaited, arrivals;
    char spare[4088 - 64];
    uint32_t lock;
    char end[4];
    char gap[4096];
    uint32_t hash[NSHM_CAPACITY];
    nshm_record record[NSHM_CAPACITY];
} nshm_registry;
#define NSHM_REGISTRY_SIZE sizeof(nshm_registry)

NSHM__ASSERT(sizeof(nshm_record) == 1152, "registry layout");
NSHM__ASSERT(offsetof(nshm_registry, lock) == 4088 && offsetof(nshm_registry, gap) == 4096, "registry layout");
NSHM__ASSERT(offsetof(nshm_registry, hash) == 8192, "registry layout");

/* Marks in nshm_record.closing.  They are set and cleared under the registry's lock: whoever holds the lock and finds one knows
 * that the process that set it has died. */
enum {
    NSHM__ASKING = 1, /* a closing process asks the kernel whether its handle is the last: see nshm__recycle */
    NSHM__LEAVING = 2 /* the name is about to lead to another object: see nshm__replace_locked */
};

/* Marks in the permission bits of a segment, where shmget(2) gives execution no meaning. */
#define NSHM_MARK 0100      /* owner-execute: a segment of this format */
#define NSHM_FILE_MARK 0010 /* group-execute, set when it is made: the token of a section of a file */
/* The mode of such a token, and of no other segment: where else the group may execute, it may also read. */
#define NSHM_FILE_MODE (0600 | NSHM_MARK | NSHM_FILE_MARK)

/* What a parcel carries: written behind the longest possible name of its record.  See parcels.h. */
typedef struct {
    uint64_t nonce;     /* of the object */
    uint32_t slot;      /* of the object's record */
    uint16_t where;     /* NSHM__UNNAMED, or which registry that record is in */
    uint16_t readonly;
    uint32_t access;    /* the sender's, passed on unread */
    uint32_t spare;
} nshm_note;
enum { NSHM__UNNAMED = 0, NSHM__IN_LOCAL = 1, NSHM__IN_GLOBAL = 2 };
#define NSHM_NOTE 1056u /* offset within nshm_record.name; a multiple of 8, as nshm__put needs */
NSHM__ASSERT(NSHM_NOTE > NSHM_NAME_MAX && NSHM_NOTE + sizeof(nshm_note) <= sizeof(((nshm_record *)0)->name), "note layout");

/* Bytes of the data segment: the object's exact size.  A reserved section's pages are followed by one bit for each, set when the
 * page is committed. */
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
#endif
