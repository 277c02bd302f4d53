/* namedshm/segments.h - making segments of the kernel, and asking the kernel about them.
 *
 * Owns:   "death is proved, never guessed" (see namedshm.h): which answers of the kernel prove that a segment is gone.
 *         A segment is marked for removal before anybody is told of it, and before it has a page: so a kill at any step leaves
 *         no memory.  A creator that is killed in between leaves at most an id, which the next one finds by its key.
 *         Nobody but the maker can attach a segment before its rights are set.
 * Needs:  attachments.h, process.h, users.h.
 */
#ifndef NAMEDSHM_PART_SEGMENTS_H
#define NAMEDSHM_PART_SEGMENTS_H
#include "attachments.h"
#include "process.h"
#include "users.h"

/* The errno values that prove: there is no segment of that id. */
static inline int nshm__gone(int e) { return e == EINVAL || e == EIDRM; }

/* What the kernel knows of a segment, also without the right to read it.  0; -ENOENT: no segment has that id, which is proof;
 * -ESTALE. */
static inline int nshm__facts(int id, struct shmid_ds *d) {
    static const int masks[] = {0x7fff, 0xffffff}; /* of the index in the id (ipc/util.h); the second after booting with ipcmni_extend */
    if (!shmctl(id, IPC_STAT, d)) return 0;
    if (nshm__gone(errno)) return -ENOENT;
    if (errno != EACCES) return nshm__unsure(errno);
    for (int k = 0; k < 2; k++) { /* another user's: look where it stands in the kernel's table */
        int found = shmctl(id & masks[k], SHM_STAT_ANY, d);
        if (found == id) return 0;
        if (found < 0 && !nshm__gone(errno)) return nshm__unsure(errno);
    }
    return -ENOENT; /* another segment stands there, or none */
}
/* Is the segment that has this id the one meant?  1 yes; 0 no, which is proof if the registry was seen to be in this IPC namespace;
 * negative: could not tell.  Ask after attaching: while a segment is attached no other can get its id, so the answer stays true.
 * *ctime: when it was made. */
static inline int nshm__is(const nshm_scope *s, int id, size_t size, uint32_t maker, int attached, int64_t *ctime) {
    struct shmid_ds d;
    int r = nshm__facts(id, &d);
    *ctime = r ? 0 : (int64_t)d.shm_ctime;
    if (r == -ENOENT) return attached ? nshm__unsure(EIDRM) : 0; /* attached, but unknown: a sandbox answers for the kernel */
    if (r) return r;
    if (d.shm_segsz != size || !(d.shm_perm.mode & SHM_DEST)) return 0;
    if (d.shm_perm.cuid == (s->global ? maker : s->uid)) return 1;
    return (r = nshm__numbers(s)) ? nshm__unsure(-r) : 0; /* another user's; unless numbers of users changed their meaning */
}
/* Detach a segment that turned out to be another.  How large it is only the kernel knows. */
static inline void nshm__detach_stranger(int id, void *at, size_t size) {
    struct shmid_ds d;
    nshm__detach(at, shmctl(id, IPC_STAT, &d) ? size : d.shm_segsz);
}

/* shmget(2) for a segment whose group bits are to mean `group`.  The kernel applies group bits to two groups: shm_perm.gid, and
 * cgid, which is the effective group of the maker and cannot be changed later (ipcperms() in ipc/util.c).  So the segment has to
 * be made in that group: the thread's effective group is changed for the call where that is allowed (by the system call, which
 * unlike the C library's function changes one thread).  Otherwise the maker's own group must have no other member.  -1 with
 * errno, which is ENOTUNIQ where the members of the maker's group would be let in. */
static inline int nshm__shmget(const nshm_scope *s, key_t key, size_t size, int extra, int mode, int64_t group) {
    gid_t real, own = getegid(), saved;
    int flags = IPC_CREAT | IPC_EXCL | extra | 0600 | NSHM_MARK, id, e;
    if (group < 0 || !(mode & 070) || own == (gid_t)group) return shmget(key, size, flags);
    /* We save our own group, for everybody may go back to a saved group.  What had been saved before is restored where that is
     * allowed. */
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

/* Set the rights, then mark it for removal.  A segment is made for its maker alone (0600), and group and group bits are set in
 * one step: until then nobody else can attach it.  (Rights are asked for only then: whoever has it attached keeps it.) */
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

/* Make a segment of an object: shmget, shmat, rights, IPC_RMID.  The caller holds the registry's lock, so at most one creator is
 * at work and all can use the registry's key: what a creator left that was killed between shmget and IPC_RMID (an id, no page)
 * is found by the next creator of this user and scope, which removes it.  There is never more than one. */
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
        if (seen < 0 && (errno == ENOENT || nshm__gone(errno)) && ++strangers < 64) continue; /* it has gone meanwhile */
        /* We hold the lock, so a segment of our user with our key was left by a creator that has died.  It may still count as
         * attached, for the kernel releases the lock of a dying process before it unmaps its memory.  We do what its creator
         * would have done next. */
        if (seen == 0 && d.shm_perm.cuid == p->scope->uid && (d.shm_perm.mode & NSHM_MARK) && ++strangers < 64) shmctl(old, IPC_RMID, NULL);
        else key = ++strangers < 8 ? key + 2 : IPC_PRIVATE; /* another user has taken our key: that must not stop us */
    }
    NSHM_STEP("segment-made");
    *at = nshm__attach_below(neighbour, size, *id, 0);
    if (!*at) {
        e = errno;
        /* Gone: a process with another registry (after ipcrm) has taken it for a dead creator's. */
        if (nshm__gone(e) && ++strangers < 64) goto again;
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
#endif
