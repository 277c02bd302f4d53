/* _members.h - users and groups, asked of the user database in C: it is asked where no Python code may run, and where nothing can be
 * opened or imported.
 *
 * For nshm_scope.trusted: a registry of Global is believed if root made it, or a member of the group that may create there.
 * "There is none" and "the database could not be asked" (no free descriptor, its server down) are told apart; only the first is an
 * answer, the second is a negative errno. */
#ifndef NAMEDSHM_MEMBERS_H
#define NAMEDSHM_MEMBERS_H
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NSHM_GROUP_UNKNOWN = -2 }; /* the group that may create: it could not be told which; -1: there is none */
#define NSHM__ENTRY_MAX ((size_t)16 << 20) /* bytes; a group may have very many members */

/* Of a look-up that found nothing: 0 if that is the answer.  The C library hides that it could not read its file where it asks
 * another source after that, so the file is tried. */
static inline int nshm__settled(int e, const char *file) {
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) close(fd);
    else if (errno != ENOENT && errno != ENOTDIR) return -errno;
    return e == 0 || e == ENOENT || e == ESRCH ? 0 : -e;
}

/* Set `e`, and `found` to NULL or the entry, by a call such as getpwuid_r(3), which fills `space`; the space grows as needed. */
#define NSHM__LOOK_UP(call)                                                          \
    for (size_t size = 2048;; size *= 2) {                                           \
        char *more = (char *)realloc(space, size);                                   \
        found = NULL;                                                                \
        e = ENOMEM;                                                                  \
        if (!more) break;                                                            \
        space = more;                                                                \
        while ((e = (call)) == EINTR) {}                                             \
        if (e != ERANGE || size >= NSHM__ENTRY_MAX) break;                           \
    }

/* 1 and the number of the group of that name; 0 if there is none. */
static inline int nshm__group_number(const char *name, uint32_t *number) {
    struct group entry, *found;
    char *space = NULL;
    int e;
    NSHM__LOOK_UP(getgrnam_r(name, &entry, space, size, &found))
    if (found) *number = (uint32_t)entry.gr_gid;
    free(space);
    return found ? 1 : nshm__settled(e, "/etc/group");
}

/* Does the group's own entry name the user? */
static inline int nshm__group_names(gid_t group, const char *user) {
    struct group entry, *found;
    char *space = NULL;
    int e, named = 0;
    NSHM__LOOK_UP(getgrgid_r(group, &entry, space, size, &found))
    if (found)
        for (char **member = entry.gr_mem; *member && !named; member++) named = !strcmp(*member, user);
    free(space);
    return found ? named : nshm__settled(e, "/etc/group");
}

/* Is the user a member of the group: 1 or 0. */
static inline int nshm__member(uint32_t uid, int64_t group) {
    struct passwd entry, *found;
    char *space = NULL;
    gid_t *groups = NULL;
    int e, count = 64, member = 0;
    if (group == NSHM_GROUP_UNKNOWN) return -ENODATA;
    if (group < 0) return 0;
    NSHM__LOOK_UP(getpwuid_r((uid_t)uid, &entry, space, size, &found))
    if (!found) {
        free(space);
        return nshm__settled(e, "/etc/passwd");
    }
    for (;;) {
        int room = count;
        gid_t *more = (gid_t *)realloc(groups, (size_t)count * sizeof *groups);
        if (!more) {
            member = -ENOMEM;
            break;
        }
        groups = more;
        if (getgrouplist(entry.pw_name, entry.pw_gid, groups, &count) >= 0) {
            for (int k = 0; k < count; k++) member |= groups[k] == (gid_t)group;
            break;
        }
        if (count <= room) count = room * 2; /* a libc that does not say how many there are */
    }
    /* getgrouplist(3) leaves out without a word what it could not look up: before "no", ask in a way that tells errors. */
    if (!member) member = nshm__group_names((gid_t)group, entry.pw_name);
    free(groups);
    free(space);
    return member;
}

/* Is the effective user alone in that group, as a user in a group of his own is?  1; 0 if not, or if it could not be told.  A group
 * counts as his own if it is the one of his entry, has no entry itself or one of his name, and that names nobody else. */
static inline int nshm__alone_in(uint32_t number) {
    struct passwd user, *me = NULL;
    char *text = NULL;
    int e, alone = 0;
    {
        struct passwd *found;
        char *space = NULL;
        NSHM__LOOK_UP(getpwuid_r(geteuid(), &user, space, size, &found))
        me = found;
        text = space;
    }
    if (me && me->pw_gid == (gid_t)number) {
        struct group entry, *found;
        char *space = NULL;
        NSHM__LOOK_UP(getgrgid_r((gid_t)number, &entry, space, size, &found))
        if (!found) alone = nshm__settled(e, "/etc/group") == 0;
        else {
            alone = !strcmp(entry.gr_name, me->pw_name);
            for (char **member = entry.gr_mem; *member && alone; member++) alone = !strcmp(*member, me->pw_name);
        }
        free(space);
    }
    free(text);
    return alone;
}
#endif
