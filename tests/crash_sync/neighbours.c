/* neighbours.c - our mutexes and the C library's robust ones in the list of one thread: taken and released in every order, then the
 * thread dies.
 *
 *   neighbours [all|layouts|limit]
 *
 * all      two of ours, a robust mutex and a robust priority-inheriting one of the C library: every order of taking all four, every
 *          order of releasing some of them; then the kernel, and it alone, has to tell the death of the others.
 * layouts  lists registered by other C libraries: with musl's offset ours work; with one that would put their links into the shared
 *          page they are refused.
 * limit    a thread that owns as many as it may: one more is refused, and if it dies the kernel tells of all of them.
 */
#include "../crash/common.h"
#include "namedshm_sync.h"

enum { OURS = 2, ALL = 4 };
static nshm_scope scope;
static nshm_handle handles[OURS];
static nshm_waitee mutex[OURS];
static pthread_mutex_t *theirs;

static int take(int k) { /* 0, 1: its owner died; negative: not to be had */
    int r = k < OURS ? nshm_try(&mutex[k]) : pthread_mutex_trylock(&theirs[k - OURS]);
    if (k < OURS) return r == NSHM_ABANDONED ? 1 : r;
    if (r == EOWNERDEAD) return pthread_mutex_consistent(&theirs[k - OURS]) ? -1 : 1;
    return -r;
}
static int give(int k) { return k < OURS ? nshm_mutex_release(&mutex[k]) : -pthread_mutex_unlock(&theirs[k - OURS]); }

static void *play(void *plan_) { /* digits: take each; a dash; release each */
    const char *plan = plan_;
    int r = 0;
    for (; !r && *plan != '-'; plan++) r = take(*plan - '0');
    while (!r && *++plan) r = give(*plan - '0');
    return r ? plan_ : NULL;
}
static int failures, plans;
static void check(const char *plan, int thread) {
    int status;
    const char *dash = strchr(plan, '-');
    pid_t pid = fork_known();
    if (!pid) {
        pthread_t id;
        void *wrong = NULL;
        if (!thread) wrong = play((void *)(uintptr_t)plan);
        else if (pthread_create(&id, NULL, play, (void *)(uintptr_t)plan) || pthread_join(id, &wrong)) _exit(BROKEN);
        if (wrong) _exit(CAUGHT);
        kill(getpid(), SIGKILL);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) failures++, fprintf(stderr, "%s: ended with %x\n", plan, status);
    for (int k = 0; k < ALL; k++) {
        int released = strchr(dash, '0' + k) != NULL, r = take(k);
        if (r != !released) failures++, fprintf(stderr, "%s: mutex %d: %d, %s\n", plan, k, r, released ? "released" : "its owner died");
        if (r >= 0 && give(k)) failures++, fprintf(stderr, "%s: mutex %d is not released\n", plan, k);
    }
    plans++;
}
/* All ways to go on with a plan: while taking, any that is not taken; while releasing, any that is not released, or the end. */
static void go_on(char *plan, int length, int taken) {
    if (taken < ALL) {
        for (int k = 0; k < ALL; k++) {
            if (memchr(plan, '0' + k, (size_t)length)) continue;
            plan[length] = (char)('0' + k);
            go_on(plan, length + 1, taken + 1);
        }
        return;
    }
    if (length == ALL) plan[length++] = '-';
    plan[length] = 0;
    check(plan, plans % 5 == 0);
    for (int k = 0; k < ALL; k++) {
        if (memchr(plan + ALL + 1, '0' + k, (size_t)(length - ALL - 1))) continue;
        plan[length] = (char)('0' + k);
        go_on(plan, length + 1, taken);
    }
}

static int offset, expected;
static void *with_offset(void *nothing) {
    static __thread struct robust_list_head head;
    (void)nothing;
    head.list.next = &head.list;
    head.futex_offset = offset;
    if (syscall(SYS_set_robust_list, &head, sizeof head)) _exit(BROKEN);
    for (int k = 0; k < OURS; k++)
        if (take(k) != expected) _exit(CAUGHT);
    if (!expected && give(0)) _exit(CAUGHT);
    return NULL;
}
static void check_offset(int offset_, int expected_) {
    int status;
    pid_t pid = fork_known();
    if (!pid) {
        pthread_t id;
        offset = offset_;
        expected = expected_;
        if (pthread_create(&id, NULL, with_offset, NULL) || pthread_join(id, NULL)) _exit(BROKEN);
        _exit(0);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    if (status) failures++, fprintf(stderr, "offset %d: %x\n", offset_, status);
    for (int k = 0; k < OURS; k++) {
        int r = take(k), wanted = k && !expected_;
        if (r != wanted || give(k)) failures++, fprintf(stderr, "offset %d: mutex %d: %d, not %d\n", offset_, k, r, wanted);
    }
}

static nshm_waitee crowd[NSHM_OWNED_MAX + 1];

static void expect(const char *what, int got, int wanted) {
    if (got != wanted) failures++, fprintf(stderr, "%s: %d, not %d\n", what, got, wanted);
}
static void own_too_many(void) {
    nshm_wait_context c;
    for (int k = 0; k < NSHM_OWNED_MAX; k++) expect("taken", nshm_try(&crowd[k]), 0);
    expect("one more", nshm_try(&crowd[NSHM_OWNED_MAX]), -ENOLCK);
    expect("again", nshm_try(&crowd[0]), 0);
    expect("released once", nshm_mutex_release(&crowd[0]), 0);
    memset(&c, 0, sizeof c);
    c.count = 2;
    c.object[0] = crowd[1];
    c.object[1] = crowd[NSHM_OWNED_MAX];
    expect("any", nshm_wait(&c), 0);
    expect("released once", nshm_mutex_release(&crowd[1]), 0);
    c.all = 1;
    c.begun = 0;
    expect("all", nshm_wait(&c), -ENOLCK);
    expect("released", nshm_mutex_release(&crowd[500]), 0);
    expect("now", nshm_try(&crowd[NSHM_OWNED_MAX]), 0);
}
static void check_limit(void) {
    int told = 0;
    for (int k = 0; k <= NSHM_OWNED_MAX; k++) {
        nshm_sync_start start = {NSHM_MUTEX, 0, 0, 0};
        nshm_handle h;
        char name[8];
        int r = nshm_create(&scope, NSHM_MUTEX, name, (size_t)sprintf(name, "c%d", k), 4096, 0600, -1, 0, 0, 0, nshm_sync_fill, &start, &h);
        if (r || nshm_sync_waitee(&h, NSHM_MUTEX, &crowd[k])) broken("create: %s", strerror(-r));
    }
    pid_t pid = fork_known();
    if (!pid) {
        own_too_many();
        _exit(failures != 0);
    }
    int status;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    expect("the owner", status, 0);
    for (int k = 0; k <= NSHM_OWNED_MAX; k++) {
        told += nshm_try(&crowd[k]) == NSHM_ABANDONED;
        nshm_mutex_release(&crowd[k]);
    }
    expect("abandoned", told, NSHM_OWNED_MAX);
}

int main(int argc, char **argv) {
    char session[64], plan[2 * ALL + 2];
    pthread_mutexattr_t a;
    snprintf(session, sizeof session, "neighbours-%d-%lx", (int)getpid(), (long)time(NULL));
    enter_own_world();
    nshm_scope_init(&scope, NSHM_LOCAL, session, -1, 1);
    for (int k = 0; k < OURS; k++) {
        nshm_sync_start start = {NSHM_MUTEX, 0, 0, 0};
        char name[2] = {(char)('0' + k), 0};
        int r = nshm_create(&scope, NSHM_MUTEX, name, 1, 4096, 0600, -1, 0, 0, 0, nshm_sync_fill, &start, &handles[k]);
        if (r || nshm_sync_waitee(&handles[k], NSHM_MUTEX, &mutex[k])) broken("create: %s", strerror(-r));
    }
    theirs = shared_memory((ALL - OURS) * sizeof *theirs);
    for (int k = 0; k < ALL - OURS; k++) {
        pthread_mutexattr_init(&a);
        pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
        pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
        if (k) pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_INHERIT);
        if (pthread_mutex_init(&theirs[k], &a)) broken("pthread_mutex_init");
    }
    if (argc > 1 && !strcmp(argv[1], "layouts")) {
        check_offset(-32, 0);
        check_offset(-28, 0);
        check_offset(-4, -ENOSYS);
        check_offset(0, -ENOSYS);
        check_offset(64, -ENOSYS);
        check_offset(-4096, -ENOSYS);
    } else if (argc > 1 && !strcmp(argv[1], "limit")) check_limit();
    else go_on(plan, 0, 0);
    printf("plans=%d failures=%d\n", plans, failures);
    return failures ? CAUGHT : 0;
}
