/* stopped.c - a process is stopped (SIGSTOP, a debugger) at a named step, and others must not wait for ever.
 *
 * Build it with a lowered NSHM_LOCK_PATIENCE and NSHM_REGISTRY_ROUNDS.  While it is stopped: openers work, creators get
 * -ETIMEDOUT in time where it has what they need, and work otherwise.  When it goes on, it succeeds, and so does everybody.
 */
#include "common.h"

static void stop_step(const char *what);
#define NSHM_STEP(what) stop_step(what)
#include "namedshm.h"

static nshm_scope scope;
static const char *stop_at;
static long violations;

static void stop_step(const char *what) {
    if (!stop_at || strcmp(what, stop_at)) return;
    stop_at = NULL;
    raise(SIGSTOP);
    alarm(8); /* from here on nothing may take long */
}
static void __attribute__((format(printf, 1, 2))) violation(const char *format, ...) {
    va_list list;
    violations++;
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
}
static int create(const char *name, nshm_handle *h) {
    return nshm_create(&scope, NSHM_SECTION, name, strlen(name), 100, 0600, -1, 0, 0, 0, NULL, NULL, h);
}
static pid_t start_stopped(const char *where) {
    int status;
    pid_t pid = fork_known();
    if (pid < 0) broken("fork");
    if (!pid) {
        nshm_handle h;
        stop_at = where;
        int r = create("X", &h);
        _exit(-r & 127);
    }
    while (waitpid(pid, &status, WUNTRACED) < 0)
        if (errno != EINTR) broken("waitpid");
    if (!WIFSTOPPED(status)) return 0; /* it never came there */
    return pid;
}
enum { CREATE, OPEN, LIST };
/* In a process of its own; its error number, or -1 when it takes too long. */
static int elsewhere(int what, const char *name) {
    int status;
    pid_t pid = fork_known();
    if (pid < 0) broken("fork");
    if (!pid) {
        nshm_handle h;
        nshm_info info;
        uint32_t cursor = 0;
        int r = 0;
        alarm(8);
        if (what == CREATE) r = create(name, &h);
        else if (what == OPEN) r = nshm_open(&scope, NSHM_SECTION, name, strlen(name), 0, &h);
        else
            while (!(r = nshm_next(&scope, &cursor, &info))) {}
        _exit(-r & 127);
    }
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) broken("waitpid");
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
static void expect(const char *where, const char *what, int got, int expected) {
    if (got != expected) violation("stopped at \"%s\": %s came to %d (%s), not %d", where, what, got, got < 0 ? "hangs" : strerror(got), expected);
}

static pid_t start_holder(const char *name) {
    int ready[2];
    char byte;
    if (pipe2(ready, O_CLOEXEC)) broken("pipe");
    pid_t pid = fork_known();
    if (!pid) {
        nshm_handle h;
        if (create(name, &h) || write(ready[1], "!", 1) != 1) _exit(BROKEN);
        for (;;) pause();
    }
    close(ready[1]);
    if (read(ready[0], &byte, 1) != 1) broken("no holder");
    close(ready[0]);
    return pid;
}
static void end(pid_t pid, int go_on, const char *where) {
    int status;
    kill(pid, go_on ? SIGCONT : SIGKILL);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) broken("waitpid");
    if (go_on && status) violation("stopped at \"%s\": it went on and came to status %x", where, status);
}

int main(void) {
    static const char *const critical[] = {"locked", "segment-made", "filling", "published"};
    static const char *const making[] = {"registry", "registry-made", "registry-attached", "registry-removed", "registry-alone"};
    char session[64];
    double start = seconds(), longest = 0;
    int reached = 0;
    snprintf(session, sizeof session, "stopped-%d-%lx", (int)getpid(), (long)time(NULL));
    enter_own_world();
    nshm_scope_init(&scope, NSHM_LOCAL, session, -1, 1);
    for (size_t i = 0; i < sizeof critical / sizeof *critical; i++) {
        const char *where = critical[i];
        pid_t other = start_holder("other"), it = start_stopped(where);
        if (!it) violation("\"%s\" was not reached", where);
        else {
            double since = seconds();
            reached++;
            expect(where, "create", elsewhere(CREATE, "new"), ETIMEDOUT);
            if (seconds() - since > longest) longest = seconds() - since;
            expect(where, "open", elsewhere(OPEN, "other"), 0);
            expect(where, "list", elsewhere(LIST, ""), ENOENT);
            end(it, i % 2, where);
            expect(where, "create afterwards", elsewhere(CREATE, "new"), 0);
        }
        end(other, 0, where);
    }
    for (size_t i = 0; i < sizeof making / sizeof *making; i++) {
        const char *where = making[i];
        pid_t it = start_stopped(where);
        /* only a candidate that has named its session holds others up; before that it is nobody's */
        int in_the_way = i >= 4;
        if (!it) {
            violation("\"%s\" was not reached", where);
            continue;
        }
        double since = seconds();
        reached++;
        expect(where, "create", elsewhere(CREATE, "new"), in_the_way ? ETIMEDOUT : 0);
        if (seconds() - since > longest) longest = seconds() - since;
        end(it, i % 2, where);
        expect(where, "create afterwards", elsewhere(CREATE, "new"), 0);
    }
    /* Two makers: one has a candidate that is not marked yet, so the other thinks itself alone, and is stopped there.  The first,
     * with the lower number, stays and looks again and again for a rival that does not move. */
    pid_t first = start_stopped("registry-attached"), second = start_stopped("registry-alone");
    if (!first || !second) violation("two makers were not reached");
    else {
        int status;
        double since = seconds();
        reached++;
        kill(first, SIGCONT);
        while (waitpid(first, &status, 0) < 0)
            if (errno != EINTR) broken("waitpid");
        if (!WIFEXITED(status) || WEXITSTATUS(status) != ETIMEDOUT) violation("beside a stopped maker: status %x", status);
        if (seconds() - since > longest) longest = seconds() - since;
        end(second, 1, "registry-alone");
    }
    leftovers left = find_leftovers(NSHM_REGISTRY_SIZE, NSHM_REGISTRY_SPAN);
    if (left.attached || left.keyed || left.strays || left.candidates) violation("something is left"), show_segments();
    printf("reached=%d longest=%.1f violations=%ld seconds=%.1f\n", reached, longest, violations, seconds() - start);
    return violations ? CAUGHT : 0;
}
