/* away.c - processes that see the kernel through other namespaces do no harm to those that stayed.
 *
 * A holder has X.  A visitor that had used the library moves to another IPC namespace (with and without a user namespace), one where
 * segments and a registry have the same numbers; or only to a user namespace.  There it opens, creates, lists, closes what it had,
 * and sweeps; then it goes on in the new world, where X is nobody's.  Afterwards X is found by a newcomer as it was.
 */
#include "common.h"

#include "namedshm.h"

static nshm_scope scope;
static long violations;

static void __attribute__((format(printf, 1, 2))) violation(const char *format, ...) {
    va_list list;
    violations++;
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
}
static int make(const char *name, int flags, nshm_handle *h) {
    return nshm_create(&scope, NSHM_SECTION, name, strlen(name), 100, 0600, -1, 0, flags, 0, NULL, NULL, h);
}
static int find(const char *name, nshm_handle *h) { return nshm_open(&scope, NSHM_SECTION, name, strlen(name), 0, h); }

enum { NOTHING, ONLY_USER, ONLY_IPC, BOTH, VISITS };
static const char *const visit_name[] = {"nowhere", "a user namespace", "an IPC namespace", "an IPC and a user namespace"};

static int move(int where) {
    char map[64];
    unsigned uid = geteuid();
    static const int flags[] = {0, CLONE_NEWUSER, CLONE_NEWIPC, CLONE_NEWIPC | CLONE_NEWUSER};
    if (unshare(flags[where])) return -1;
    if (flags[where] & CLONE_NEWUSER) {
        snprintf(map, sizeof map, "%u %u 1", uid, uid);
        write_text("/proc/self/uid_map", map);
    }
    return 0;
}
static int visit(int where, const nshm_handle *x) {
    nshm_handle own, seen, h;
    nshm_info info;
    nshm_place *place;
    uint32_t cursor = 0;
    int r, last_id = 0;
    alarm(20);
    if ((r = make("own", NSHM_EXCLUSIVE, &own)) || (r = find("X", &seen))) broken("the visitor: %d", r);
    nshm_registry *registry = own.place->registry;
    registry->sweep = 1;
    for (int i = 0; i < 20; i++) /* no free slots: the next creator there would sweep */
        if (registry->hash[i] && i + 1 == (int)registry->used) break;
    if (move(where)) return 77;
    if (where >= ONLY_IPC) { /* the same numbers for other things */
        for (int i = 0; i < 5000 && last_id < x->data_id + 50; i++) {
            int id = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
            if (id < 0) break;
            last_id = id;
            if (id != x->token_id && id != x->data_id && id != seen.place->id) shmctl(id, IPC_RMID, NULL);
        }
    }
    r = find("X", &h);
    if (where >= ONLY_IPC ? r != -ENOENT && r != -ESTALE : r && r != -ESTALE && r != -EUSERS && r != -EREMCHG)
        violation("in %s: open X came to %d", visit_name[where], r);
    if (!r && h.nonce != x->nonce) violation("in %s: another X is found", visit_name[where]);
    if (!r) nshm_close(&h, 0);
    while (!(r = nshm_next(&scope, &cursor, &info)) && cursor < NSHM_CAPACITY) {}
    nshm_close(&seen, 0); /* not its last handle, whatever the numbers are here */
    nshm_close(&own, 0);
    for (int i = 0; i < 3; i++) {
        r = make(i ? "more" : "X", 0, &h);
        if (!r && where < ONLY_IPC && !i && h.nonce != x->nonce) violation("in %s: a second X was made", visit_name[where]);
        if (!r && where >= ONLY_IPC && h.place->registry == registry) violation("in %s: made in a registry that is elsewhere", visit_name[where]);
        if (!r && i) nshm_close(&h, 0);
    }
    if (where >= ONLY_IPC && nshm_place_of(&scope, 0, &place)) violation("in %s: no registry of its own", visit_name[where]);
    return violations ? 1 : 0;
}
static int newcomer(const nshm_handle *x) {
    nshm_handle h;
    int r;
    if ((r = find("X", &h)) || h.nonce != x->nonce) violation("a newcomer: open X came to %d, or to another", r);
    if (!r) nshm_close(&h, 0);
    if (make("X", NSHM_EXCLUSIVE, &h) != -EEXIST) violation("a newcomer could make a second X");
    if ((r = find("own", &h)) != -ENOENT) violation("what the visitor closed while away is still there: %d", r);
    return violations ? 1 : 0;
}
static int wait_for(pid_t pid) {
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) broken("waitpid");
    if (!WIFEXITED(status) && WTERMSIG(status) != SIGKILL) violation("died of signal %d", WTERMSIG(status));
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int main(void) {
    char session[64];
    int ready[2], visits = 0, result;
    nshm_handle *x;
    snprintf(session, sizeof session, "away-%d-%lx", (int)getpid(), (long)time(NULL));
    unsetenv("NSHM_TEST_NO_NAMESPACE");
    enter_own_world();
    if (!isolated) return 77;
    nshm_scope_init(&scope, NSHM_LOCAL, session, -1, 1);
    x = shared_memory(sizeof *x);
    if (pipe2(ready, O_CLOEXEC)) broken("pipe");
    pid_t holder = fork_known();
    if (!holder) {
        if (make("X", NSHM_EXCLUSIVE, x) || write(ready[1], "!", 1) != 1) _exit(BROKEN);
        for (;;) pause();
    }
    char byte;
    close(ready[1]);
    if (read(ready[0], &byte, 1) != 1) broken("no holder");
    for (int where = 0; where < VISITS; where++) {
        pid_t pid = fork_known();
        if (!pid) _exit(visit(where, x));
        if ((result = wait_for(pid)) == BROKEN) return violations ? CAUGHT : BROKEN;
        if (result == 77) continue; /* may not move there */
        visits++;
        violations += result;
        pid = fork_known();
        if (!pid) _exit(newcomer(x));
        violations += wait_for(pid);
    }
    kill(holder, SIGKILL);
    wait_for(holder);
    printf("visits=%d violations=%ld\n", visits, violations);
    return violations ? CAUGHT : 0;
}
