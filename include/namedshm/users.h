/* namedshm/users.h - do numbers of users mean the same to this thread as to the others?
 *
 * The kernel tells each user namespace its own numbers of users.  In a namespace where not every user has a number, all those
 * without one look alike (kernel.overflowuid), so "another user made it" can be said only after these questions.
 *
 * Owns:   the rule that an answer "no" about a user's number is believed only if nshm__numbers says 0.
 * Needs:  types.h.
 */
#ifndef NAMEDSHM_PART_USERS_H
#define NAMEDSHM_PART_USERS_H
#include "types.h"

/* Does every user have a number of his own in this user namespace?  1 (the initial one), 0, or -1: could not tell. */
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
    /* No /proc.  Then we try to give a segment of our own to the user with the last number there is.  The kernel refuses
     * (EINVAL) what has no user here, and that number has one only in the initial user namespace. */
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
        return nshm__whole() == 1 ? 1 : -1; /* no /proc, or no descriptor left */
    }
    fd = ioctl(ipc, NS_GET_USERNS);
    e = errno;
    close(ipc);
    if (fd < 0) return e == EPERM ? 0 : nshm__whole() == 1 ? 1 : -1; /* EPERM: the owner is a namespace that contains ours */
    e = fstat(fd, &owner);
    close(fd);
    return e ? -1 : owner.st_ino == mine.st_ino && owner.st_dev == mine.st_dev;
}
/* Is the effective user's number certainly its own? */
static inline int nshm__numbered(const nshm_scope *s) { return s->uid != s->overflow && s->uid != 65534; }
/* May numbers of users, as the kernel tells them to this thread, be compared with those in the scope and in its records?  0 or
 * an error. */
static inline int nshm__numbers(const nshm_scope *s) {
    if ((uint32_t)geteuid() != s->uid) return -EREMCHG;
    if (s->global) return nshm__owns_ipc() == 1 ? 0 : -EXDEV;
    return nshm__numbered(s) || nshm__whole() == 1 ? 0 : -EUSERS;
}
#endif
