/* _members.h - is a user a member of a group?  Asked of the user database, in C: it is asked where no Python code may run.
 *
 * For nshm_scope.trusted: a registry of Global is believed if root made it, or a member of the group that may create there. */
#ifndef NAMEDSHM_MEMBERS_H
#define NAMEDSHM_MEMBERS_H
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

/* 1 or 0; -errno: the database could not be read, so it cannot be told. */
static int nshm__member(uint32_t uid, int64_t group) {
    if (group < 0) return 0;
    struct passwd user, *found = NULL;
    size_t room = 1024;
    char *text = NULL;
    gid_t *groups = NULL;
    int e, member = 0, count = 64;
    do { /* man getpwuid_r: ERANGE, the buffer is too small */
        room *= 2;
        free(text);
        if (!(text = (char *)malloc(room))) return -ENOMEM;
        e = getpwuid_r((uid_t)uid, &user, text, room, &found);
    } while ((e == ERANGE && room < (1u << 22)) || e == EINTR);
    if (e == ENOENT || e == ESRCH || e == EPERM) e = 0; /* ways to say that there is no such user, says the same page */
    while (!e && found && !groups) {
        int wanted = count;
        if (!(groups = (gid_t *)malloc((size_t)count * sizeof *groups))) e = ENOMEM;
        else if (getgrouplist(user.pw_name, user.pw_gid, groups, &count) < 0) {
            free(groups);
            groups = NULL;
            if (count <= wanted) count = wanted * 2;
            if (count > 1 << 20) e = E2BIG;
        }
    }
    for (int k = 0; groups && k < count; k++) member |= groups[k] == (gid_t)group;
    free(groups);
    free(text);
    return e ? -e : member;
}
#endif
