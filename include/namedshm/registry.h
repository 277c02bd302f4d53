/* namedshm/registry.h - finding the registry of a scope, or making it.
 *
 * There is no fixed key or file: the registry is found by scanning the kernel's table of segments.
 *
 * Owns:   at most one living registry per scope.  Phases, with the race each closes:
 *         1. Scan the kernel's table.  A ripe registry (its magic is set) is adopted.
 *         2. There is none: make and attach a candidate, mark it IPC_RMID, then write its session.  (A kill before the mark leaves an
 *            id without a page, which phase 1 of a later process removes once the creator is dead.)
 *         3. Scan again.  Alone: set magic; it is the registry.  Not alone: the candidate with the lowest id stays and scans again,
 *            the others drop theirs and begin anew.  Two candidates cannot both find themselves alone: each scans after marking
 *            and writing, so the one that scans later sees the other.  A candidate that turned ripe is never dropped.
 *         A segment in the table that we may not look at may be the registry: then nothing is concluded, and none is made.
 *         All of it with the guard held, except while waiting for a rival (nshm__step_aside).
 * Needs:  fork.h, places.h.
 */
#ifndef NAMEDSHM_PART_REGISTRY_H
#define NAMEDSHM_PART_REGISTRY_H
#include "fork.h"
#include "places.h"

static inline int nshm__registry_perm(const nshm_scope *s) { return s->global ? (s->group >= 0 ? 0664 : 0644) : 0600; }

static inline int nshm__registry_sized(size_t n) { return n >= NSHM_REGISTRY_SIZE && n < NSHM_REGISTRY_SIZE + NSHM_REGISTRY_SPAN; }

typedef struct { /* what a scan found */
    nshm_registry *registry; /* ripe, attached; NULL: none */
    struct shmid_ds d;
    int id, rivals, lowest, forbidden;
} nshm__scanned;

/* Is a registry that this user made the scope's?  1, 0 or an error.  What somebody without the right has made is nobody's
 * registry. */
static inline int nshm__believed(const nshm_scope *s, uint32_t maker) {
    if (!s->global) return maker == s->uid;
    if (!maker || (maker == s->uid && s->may_create)) return 1;
    int r = s->trusted ? s->trusted(maker, s->group) : 0;
    return r < 0 ? nshm__unsure(-r) : r;
}
/* Look for the scope's registry, and for candidates but `own`.  0 or an error. */
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
            /* It has the mode of the other scope.  But a Global one that is being made has no rights for others before it is
             * marked for removal.  Such a one cannot be told from a Local one; its maker will scan after us and see ours. */
            if ((d.shm_perm.mode & SHM_DEST) || d.shm_perm.cuid != s->uid) continue;
        }
        if ((r = nshm__believed(s, d.shm_perm.cuid)) <= 0) {
            if (r) return r;
            continue;
        }
        if (!(d.shm_perm.mode & SHM_DEST)) {
            /* Its creator has not marked it yet, so it will scan after us and see ours.  We do not attach it even to look:
             * reading would give it a page, and a kill of its creator would leave that.  If its creator was killed here already,
             * we remove it. */
            if (d.shm_perm.cuid == s->uid && !d.shm_nattch && ((kill(d.shm_cpid, 0) && errno == ESRCH) || time(NULL) - d.shm_ctime > 5))
                shmctl(id, IPC_RMID, NULL);
            continue;
        }
        if (!d.shm_nattch) continue;
        nshm_registry *t = (nshm_registry *)nshm__attach(id, !writable);
        if (!t) {
            if (nshm__gone(errno)) continue;
            if (errno != EACCES) return errno == ENOMEM ? -ENOMEM : nshm__unsure(errno);
            if (!s->global) return nshm__unsure(EACCES); /* our own user's, and we may not look */
            t = writable ? (nshm_registry *)nshm__attach(id, 1) : NULL; /* is it only another session's? */
            int other = t && t->session != s->session;
            if (t) nshm__detach_stranger(id, t, d.shm_segsz);
            if (other) continue;
            f->forbidden = 1; /* Global without the right to create */
            f->rivals++;
            continue;
        }
        size_t size = d.shm_segsz;
        if (shmctl(id, IPC_STAT, &d)) { /* it is attached, so it exists whatever this says */
            r = errno;
            nshm__detach(t, size);
            return nshm__unsure(r);
        }
        if (!nshm__registry_sized(d.shm_segsz) || !(d.shm_perm.mode & SHM_DEST) || nshm__believed(s, d.shm_perm.cuid) <= 0) {
            nshm__detach(t, d.shm_segsz); /* another segment got the id between the two looks */
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
            return -EPROTO; /* with a registry of each version, the programs would not see each other's names */
        }
        if (t->session == s->session) {
            f->rivals++;
            if (id < f->lowest || f->lowest < 0) f->lowest = id;
        }
        nshm__detach(t, d.shm_segsz);
    }
    return 0;
}

#ifndef NSHM_REGISTRY_ROUNDS
#define NSHM_REGISTRY_ROUNDS 25000 /* of 0.2 ms and more each: after about 10 s a stopped rival is an error */
#endif
/* Wait a little, without the guard, so that other threads can work and fork. */
static inline void nshm__step_aside(void) {
    struct timespec nap = {0, 200000};
    nshm__exit();
    nanosleep(&nap, NULL);
    nshm__enter();
}
/* Make a candidate: attached, marked for removal, with its session written.  0; -EAGAIN: another process took it for a dead
 * creator's. */
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
    NSHM_STEP("registry-removed"); /* from here on it may have pages, for a kill frees them */
    t->session = s->session;
    t->version = NSHM_VERSION;
    t->capacity = NSHM_CAPACITY;
    t->identity = random[1] ? random[1] : 1;
    /* The key of segments in the making.  It stands in the registry, for the user's number may differ in other user namespaces. */
    uint64_t seed[3] = {s->uid, s->session, (uint64_t)s->global}, h = nshm_hash64(seed, sizeof seed);
    t->key = (uint32_t)(h ^ (h >> 32)) | 0x40000001u;
    t->sweep = 256;
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* who scans after us must see our session */
    return 0;
}

/* The scope's registry in this thread's IPC namespace.  -ENOENT: there is none, and `make` is 0.  -EPERM: it may not be written,
 * or made. */
static inline int nshm__registry(nshm_scope *s, int make, nshm_place **place) {
    nshm__scanned f;
    int r;
    *place = NULL;
    if (make && (uint32_t)geteuid() != s->uid) return -EREMCHG; /* (for who opens, the kernel decides) */
    for (nshm_place *p = nshm__places; p; p = p->next) {
        if (p->scope != s) continue;
        if ((r = nshm__here(p)) < 0) return r;
        if (!r) continue;
        if (make && s->global && (r = nshm__numbers(s))) return r; /* our number is about to be written into it */
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
        /* Not a candidate whose rights are about to be set, but a registry from before we were granted the right to create. */
        if (f.forbidden && writable && round > 50) {
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
        /* A child that is forked while we step aside must not keep the candidate, for nobody there decides about it. */
        nshm__take_off(&own);
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
#endif
