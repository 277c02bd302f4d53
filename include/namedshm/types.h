/* namedshm/types.h - what a caller holds: a scope, a handle, and the results of looking around.
 *
 * Owns:   who may touch which field, and under which lock.
 * Needs:  layout.h.
 */
#ifndef NAMEDSHM_PART_TYPES_H
#define NAMEDSHM_PART_TYPES_H
#include "layout.h"

/* A token that belongs to no object now, kept for this process's next create (spare.h).  Touched with the guard held. */
typedef struct {
    void *at;
    int id;
    size_t size;
} nshm_spare;

struct nshm_place;

/* One scope as this process sees it: whose names it has, and whose registry is believed. */
typedef struct {
    int global;
    uint32_t uid;           /* effective user at nshm_scope_init; operations of another one are refused */
    uint32_t overflow;      /* the number the kernel shows for users that have none here (kernel.overflowuid) */
    uint64_t session;       /* hash of the session string; 0 = the ordinary one */
    int64_t group;          /* Global: the group that may create, or -1 */
    /* Global: may a registry made by this user be believed?  1, 0, or -errno: could not tell.  NULL: only root's.  Called with
     * the guard held, so it must not wait for other threads of this process. */
    int (*trusted)(uint32_t uid, int64_t group);
    /* Is this process's effective user the only member of that group?  1 or 0; the guard is held.  NULL: assume not.  See
     * nshm__shmget. */
    int (*alone_in)(uint32_t group);
    int may_create;
    uint64_t seed, count; /* for nshm__nonce */
} nshm_scope;

/* A registry as this process has it attached.  A scope can have several: a thread may move to another IPC namespace and come back.
 * All places are in one list (nshm__places), which the guard protects, and so are these fields. */
typedef struct nshm_place {
    nshm_registry *registry;
    nshm_scope *scope;
    int id;
    size_t size;   /* id, size and ctime tell which segment it is: see nshm__here */
    int64_t ctime;
    int writable, global;
    int users;     /* handles and operations under way */
    int let_go;    /* detach it when the last of them is done */
    nshm_spare spare;
    struct nshm_place *next;
} nshm_place;

/* A handle and its hold on the data.  The caller owns it; threads that share one need a lock of their own. */
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
    struct nshm_handle *flight, **link; /* the list of handles in flight (fork.h); nothing else touches them */
} nshm_handle;

/* Called with the handle of a new object before anybody can find it, to fill its memory.  The registry's lock and the guard are
 * held.  An error ends the create. */
typedef int (*nshm_filler)(nshm_handle *h, void *context);

typedef struct { /* what the sender of a handle keeps: see parcels.h */
    nshm_handle object, box;
} nshm_parked;

typedef struct { /* a living object, as nshm_next found it */
    nshm_record record; /* with its name */
    uint32_t maker;     /* the user who made it, as numbered where this process is */
    uint32_t handles;   /* attachments of the token */
    uint32_t mappings;  /* attachments of the data, by handles and views together; 0 without data */
} nshm_info;

typedef struct { /* a segment that looks like a registry, as nshm_next_registry found it */
    int id;
    uint32_t cuid, gid, mode; /* creator, group and permission bits */
    int cpid;                 /* the creator's process, in the caller's PID namespace; 0 from another one */
    uint64_t attached;        /* attachments; a process may count several times */
    uint32_t version;         /* of the format; 0: may not be read here, or not ready */
    uint64_t session;
} nshm_registry_facts;

typedef struct { /* who waits for a name: what was there at the beginning */
    nshm_place *place; /* NULL: there is no registry */
    uint32_t seen;
} nshm_arrivals;
#endif
