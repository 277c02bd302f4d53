/* strangers.c - at each step of making a registry or an object, a user without a right tries to attach every segment there is.
 *
 * Needs root: the creator works in Global with a group, the stranger is another user outside of it.  Whoever attaches a segment once
 * keeps it, so there must be no instant at which it could.
 *
 * The stranger is not in the creator's own group either: to the kernel the group bits count for the group that made a segment (cgid) as
 * well as for the one it was given to, and no call changes that.
 */
#include "common.h"

#include <grp.h>

static void strangers_step(const char *what);
#define NSHM_STEP(what) strangers_step(what)
#include "namedshm.h"

enum { GROUP = 7, STRANGER = 54321, OTHER_GROUP = 54322 };
static int ask[2], answer[2], armed;
static long steps, violations;

static void stranger(void) { /* its own process: tries when asked, says how many it got */
    struct shmid_ds d;
    struct shm_info info;
    char byte;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (setgroups(0, NULL) || setresgid(OTHER_GROUP, OTHER_GROUP, OTHER_GROUP) || setresuid(STRANGER, STRANGER, STRANGER)) broken("setuid");
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (read(ask[0], &byte, 1) == 1) {
        unsigned char got = 0;
        for (int i = 0, max = shmctl(0, SHM_INFO, (struct shmid_ds *)&info); i <= max; i++) {
            int id = shmctl(i, SHM_STAT_ANY, &d);
            if (id < 0) continue;
            for (int readonly = 0; readonly < 2; readonly++) {
                if (readonly && byte == 'r') continue; /* the registry is for all to read */
                void *at = shmat(id, NULL, readonly ? SHM_RDONLY : 0);
                if (at == (void *)-1) continue;
                got++;
                shmdt(at);
            }
        }
        if (write(answer[1], &got, 1) != 1) _exit(BROKEN);
    }
    _exit(0);
}
static void strangers_step(const char *what) {
    unsigned char got;
    if (!armed) return;
    steps++;
    if (write(ask[1], armed == 1 ? "r" : "o", 1) != 1 || read(answer[0], &got, 1) != 1) broken("the stranger");
    if (got) violations++, fprintf(stderr, "at \"%s\" a stranger attached %d segments\n", what, got);
}

int main(void) {
    nshm_scope scope;
    nshm_handle h;
    int r;
    if (geteuid()) return 77;
    unsetenv("NSHM_TEST_NO_NAMESPACE");
    enter_own_world();
    if (!isolated) return 77;
    if (pipe2(ask, O_CLOEXEC) || pipe2(answer, O_CLOEXEC)) broken("pipe");
    pid_t pid = fork_known();
    if (!pid) {
        close(ask[1]);
        stranger();
    }
    nshm_scope_init(&scope, NSHM_GLOBAL, NULL, GROUP, 1);
    armed = 1;
    if ((r = nshm_create(&scope, NSHM_SECTION, "registry", 8, 100, 0660, GROUP, 0, 0, 0, NULL, NULL, &h))) broken("create: %d", r);
    for (int mode = 0; mode < 3; mode++) {
        static const unsigned modes[] = {0600, 0660, 0640};
        if ((r = nshm_create(&scope, NSHM_SECTION, "s", 1, 100, modes[mode], GROUP, 0, 0, 0, NULL, NULL, &h))) broken("create: %d", r);
        strangers_step("made");
        nshm_close(&h, 0);
    }
    printf("steps=%ld violations=%ld\n", steps, violations);
    return violations ? CAUGHT : 0;
}
