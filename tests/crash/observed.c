/* observed.c - every system call fails in every way, while somebody else holds a name; that name lives on.
 *
 *   observed [STRIDE [OFFSET]]     of all (scope, operation, call, errno, n) every STRIDE-th from OFFSET on
 *
 * A holder has the section X, the mutex M and the registry.  A new process does an operation, the n-th call of a kind fails, with each
 * error its manual or a security module allows; or all such calls fail.  Then:
 *   - the operation succeeded, or returned a documented error and left no attachment and nothing in its handle;
 *   - what it made is found by others while it holds it, as what it is;
 *   - a newcomer finds X and M as they were, by create as by open, and lists each once: nothing was freed, nothing doubled;
 *   - when it has ended, the kernel has the segments it had before;
 *   - done again without a fault, it does what it should.
 *
 * What a test may not inject: EINVAL or EIDRM for a segment that exists, from shmat, IPC_STAT or a look at its place in the table.  They
 * mean "this id is nobody's", the one proof of death there is, and the kernel does not say so of what lives.  Those runs count as
 * lies: only that they neither crash nor hang is asked.  Not so for IPC_STAT of the registry, which may be out of sight: see nshm__here.
 */
#include "common.h"

#include "faultshim.h"
#include "namedshm.h"

#include "attached.h"

enum { SIZE = 100 };
static nshm_scope scope;
static int is_global;
static long runs, hits, lies, violations;

typedef struct {
    uint64_t nonce, mutex_nonce;
    int ids[5]; /* tokens and data of X and M, and the registry: which lies are lies */
    uint64_t made; /* by the process under test, and held by it; 0: nothing */
    char made_name[16];
    uint16_t made_type;
} board_type;
static board_type *board;

static int make(const char *name, uint16_t type, int flags, nshm_handle *h) {
    unsigned mode = is_global ? 0644 : 0600;
    return nshm_create(&scope, type, name, strlen(name), type == NSHM_SECTION ? SIZE : NSHM_WORDS_SIZE, mode, -1, 0, flags, 0, NULL, NULL, h);
}
static int find(const char *name, uint16_t type, int flags, nshm_handle *h) {
    return nshm_open(&scope, type, name, strlen(name), flags, h);
}

/* ------------------------------------------------------------------------------------------------ operations */
static nshm_handle mine;
static void nothing(nshm_handle *h) { memset(h, 0, sizeof *h); }

static int op_create(nshm_handle *h) { return make("new", NSHM_SECTION, 0, h); }
static int op_create_mutex(nshm_handle *h) { return make("new", NSHM_MUTEX, 0, h); }
static int op_create_living(nshm_handle *h) { return make("X", NSHM_SECTION, 0, h); }
static int op_make_living(nshm_handle *h) { return make("X", NSHM_SECTION, NSHM_EXCLUSIVE, h); }
static int op_create_dead(nshm_handle *h) { return make("dead", NSHM_SECTION, 0, h); }
static int op_make_dead(nshm_handle *h) { return make("dead", NSHM_SECTION, NSHM_EXCLUSIVE, h); }
static int replace(const char *name, nshm_handle *h) {
    int r = nshm_prepare(&scope, NSHM_SECTION, SIZE, is_global ? 0644 : 0600, -1, 0, h);
    if (!r && (r = nshm_replace(h, name, strlen(name)))) nshm_close(h, 0);
    return r;
}
static int op_replace(nshm_handle *h) { return replace("new", h); }
static int op_replace_dead(nshm_handle *h) { return replace("dead", h); }
static int op_open(nshm_handle *h) { return find("X", NSHM_SECTION, 0, h); }
static int op_open_readonly(nshm_handle *h) { return find("X", NSHM_SECTION, NSHM_READONLY, h); }
static int op_open_mutex(nshm_handle *h) { return find("M", NSHM_MUTEX, 0, h); }
static int op_open_missing(nshm_handle *h) { return find("missing", NSHM_SECTION, 0, h); }
static int op_open_dead(nshm_handle *h) { return find("dead", NSHM_SECTION, 0, h); }
static int op_open_type(nshm_handle *h) { return find("X", NSHM_EVENT, 0, h); }
static int op_duplicate(nshm_handle *h) { return nshm_duplicate(&mine, 0, h); }
static int op_close(nshm_handle *h) {
    nothing(h);
    if (mine.scope) nshm_close(&mine, 0);
    mine.scope = NULL;
    return 0;
}
static int op_list(nshm_handle *h) {
    nshm_info info;
    uint32_t cursor = 0, before = 0;
    int r, failed = 0;
    nothing(h);
    while ((r = nshm_next(&scope, &cursor, &info)) != -ENOENT) {
        if (!r) continue;
        failed = r;
        if (r != -ESTALE || cursor == before) break; /* one that could not be told is skipped */
        before = cursor;
    }
    return failed;
}

enum { NEWCOMER = 1, DEAD = 2, LAST = 4, NOT_LAST = 8, SPARE = 16, SWEEP = 32, NEW_WORLD = 64 };
typedef struct {
    const char *name;
    int (*operate)(nshm_handle *);
    int world, expected;
} operation;
static const operation operations[] = {
    {"create", op_create, 0, 0},
    {"create by a newcomer", op_create, NEWCOMER, 0},
    {"create with a spare", op_create, SPARE, 0},
    {"create with a sweep", op_create, SWEEP | DEAD, 0},
    {"create a mutex", op_create_mutex, 0, 0},
    {"create what lives", op_create_living, 0, 0},
    {"make what lives", op_make_living, 0, -EEXIST},
    {"create over a dead entry", op_create_dead, DEAD, 0},
    {"make over a dead entry", op_make_dead, DEAD, 0},
    {"replace", op_replace, 0, 0},
    {"replace by a newcomer", op_replace, NEWCOMER, 0},
    {"replace with a sweep", op_replace, SWEEP | DEAD, 0},
    {"replace a dead entry", op_replace_dead, DEAD, 0},
    {"open", op_open, 0, 0},
    {"open by a newcomer", op_open, NEWCOMER, 0},
    {"open read-only", op_open_readonly, 0, 0},
    {"open a mutex", op_open_mutex, 0, 0},
    {"open a missing name", op_open_missing, 0, -ENOENT},
    {"open a dead name", op_open_dead, DEAD, -ENOENT},
    {"open another type", op_open_type, 0, -EBADMSG},
    {"duplicate", op_duplicate, NOT_LAST, 0},
    {"close the last handle", op_close, LAST, 0},
    {"close one of several", op_close, NOT_LAST, 0},
    {"list", op_list, 0, 0},
    {"create in a new world", op_create, NEWCOMER | NEW_WORLD, 0},
};

#define SECURITY EACCES, EPERM, ENOMEM, EINTR, ENOSYS
static const struct {
    int call;
    const char *name;
    int errors[16];
} faults[] = {
    {FAULT_SHMGET, "shmget", {SECURITY, EINVAL, ENFILE, ENOSPC, EOVERFLOW}},
    {FAULT_SHMAT, "shmat", {SECURITY, EINVAL, EIDRM, EMFILE, ENFILE, EOVERFLOW}},
    {FAULT_STAT, "IPC_STAT", {SECURITY, EINVAL, EIDRM, EFAULT, EOVERFLOW}},
    {FAULT_INFO, "SHM_STAT_ANY", {SECURITY, EINVAL, EIDRM, EFAULT, EOVERFLOW}},
    {FAULT_BY_ID, "from here on all by id: call", {SECURITY, EFAULT}},
    {FAULT_TABLE, "IPC_INFO", {SECURITY, EINVAL, EFAULT}},
    {FAULT_SET, "IPC_SET", {SECURITY, EINVAL, EIDRM, EFAULT}},
    {FAULT_REMOVE, "IPC_RMID", {SECURITY, EINVAL, EIDRM, EFAULT}},
    {FAULT_MUNMAP, "munmap", {EINVAL, ENOMEM, EPERM}},
    {FAULT_MMAP, "mmap", {EACCES, EAGAIN, EINVAL, ENFILE, ENOMEM, EPERM, EOVERFLOW}},
    {FAULT_MREMAP, "mremap", {EAGAIN, EFAULT, EINVAL, ENOMEM, EPERM}},
    {FAULT_MADVISE, "madvise", {EACCES, EAGAIN, EINVAL, ENOMEM, EPERM}},
    {FAULT_RANDOM, "getrandom", {EAGAIN, EFAULT, EINTR, EINVAL, ENOSYS, EPERM}},
    {FAULT_FUTEX, "futex", {EACCES, EAGAIN, EFAULT, EINTR, EINVAL, ENOSYS, EPERM, ETIMEDOUT}},
    {FAULT_ROBUST, "robust list", {EPERM, EFAULT, EINVAL, ENOSYS}},
    {FAULT_OPEN, "open", {EACCES, EINTR, EMFILE, ENFILE, ENOENT, ENOMEM, ELOOP, ENOTDIR, ENXIO, EPERM}},
    {FAULT_READ, "read", {EAGAIN, EINTR, EIO, EINVAL, EACCES}},
    {FAULT_FILE_STAT, "stat", {EACCES, ENOENT, ENOMEM, ELOOP, ENOTDIR, EOVERFLOW}},
    {FAULT_IOCTL, "ioctl", {EPERM, ENOTTY, EINVAL, EMFILE, ENOSYS, EACCES}},
    {FAULT_KILL, "kill", {EPERM, ESRCH}},
};
enum { FAULTS = sizeof faults / sizeof *faults, OPERATIONS = sizeof operations / sizeof *operations };

static int documented(int r) {
    static const int known[] = {ENOENT, EEXIST, EACCES, EPERM, EBADMSG, ENOSPC, ENOMEM, EINVAL, ENOSYS, EPROTO,
                                ENFILE, ETIMEDOUT, EINTR, EUCLEAN, EXDEV, EUSERS, EREMCHG, ENOTUNIQ, ESTALE};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (r == -known[i]) return 1;
    return 0;
}

/* ------------------------------------------------------------------------------------------------ the process under test */
static const operation *now;
static const char *call_name;
static int call, number, error_number, bad;
static void __attribute__((format(printf, 1, 2))) complain(const char *format, ...) {
    va_list list;
    bad = 1;
    if (violations > 40) return;
    fprintf(stderr, "%s: %s, %s number %d (0: all) fails with %s: ", is_global ? "Global" : "Local", now->name, call_name, number,
            strerrorname_np(error_number));
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
}

enum { REACHED = 0, NOT_REACHED = 10, BAD = 11, LIE = 12 };

static int a_lie(void) {
    if (error_number != EINVAL && error_number != EIDRM) return 0;
    if (call != FAULT_SHMAT && call != FAULT_STAT && call != FAULT_INFO) return 0;
    if (!number) return 1;
    for (int i = 0; i < 5; i++)
        if (board->ids[i] == fault_id || (call == FAULT_INFO && (board->ids[i] & 0x7fff) == fault_id)) return call != FAULT_STAT || i < 4;
    return 0;
}
static void wait_for_byte(int fd) {
    char byte;
    while (read(fd, &byte, 1) < 0 && errno == EINTR) {}
}
static void prepare_dead(const char *name) {
    pid_t pid = fork_known();
    nshm_handle h;
    if (pid < 0) broken("fork");
    if (!pid) _exit(make(name, NSHM_SECTION, 0, &h) ? BROKEN : 0);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {}
}

static int run_with_fault(const operation *o, int tell, int go_on) {
    nshm_handle h, again;
    nshm_place *place;
    int r, hit, before, after, r2;
    alarm(30);
    nothing(&h);
    if (!(o->world & NEWCOMER) && nshm_place_of(&scope, 0, &place)) broken("no registry");
    if (o->world & SPARE) {
        if (make("spare", NSHM_SECTION, 0, &h)) broken("spare");
        nshm_close(&h, 0);
        nothing(&h);
    }
    if ((o->world & LAST) && make("mine", NSHM_SECTION, 0, &mine)) broken("mine");
    if ((o->world & NOT_LAST) && find("X", NSHM_SECTION, 0, &mine)) broken("X");
    if (o->world & DEAD) prepare_dead("dead");
    if (o->world & SWEEP) {
        for (uint32_t i = 0; i < place->registry->used; i++)
            if (!place->registry->hash[i]) prepare_dead("filler");
        place->registry->sweep = 1;
    }
    before = attachments();
    fault_arm(call, number, error_number);
    r = o->operate(&h);
    hit = fault_disarm();
    after = attachments();
    if (!hit) return NOT_REACHED;
    if (a_lie()) return LIE;
    if (r > 0 || (r < 0 && !documented(r) && r != -error_number)) complain("returned %d", r);
    if (r < 0 && call != FAULT_MUNMAP) {
        if (after > before) complain("%d attachments were left (returned %s)", after - before, strerrorname_np(-r));
        if (h.token || h.data) complain("the handle still points somewhere (returned %s)", strerrorname_np(-r));
    }
    if (!r && o->expected) complain("it succeeded");
    if (r == -ENOENT && !o->expected) complain("NotFound, of what could be found or made");
    if (!r && h.token) { /* held: others are to find it */
        board->made = h.nonce;
        board->made_type = h.type;
        snprintf(board->made_name, sizeof board->made_name, "%s", o->operate == op_create || o->operate == op_create_mutex || o->operate == op_replace ? "new" : o->world & DEAD ? "dead" : h.type == NSHM_MUTEX ? "M" : "X");
        if (write(tell, "!", 1) != 1) broken("pipe");
        wait_for_byte(go_on);
        nshm_close(&h, 0);
    }
    if (o->operate == op_close) {
        if ((o->world & LAST) && call != FAULT_MUNMAP && find("mine", NSHM_SECTION, 0, &again) != -ENOENT) complain("after the close it is still there");
        return bad ? BAD : REACHED;
    }
    r2 = o->operate(&again);
    if (r2 != o->expected && !(call == FAULT_MUNMAP && (r2 == -EEXIST || r2 == -EBADMSG || !r2)))
        complain("done again it returned %s", r2 ? strerrorname_np(-r2) : "success");
    if (!r2 && again.token) nshm_close(&again, 0);
    return bad ? BAD : REACHED;
}

/* ------------------------------------------------------------------------------------------------ the world around it */
static int expect(const char *what, int r, int expected, nshm_handle *h, uint64_t meant) {
    int wrong = 0;
    if (r != expected) complain("a newcomer: %s came to %s", what, r ? strerrorname_np(-r) : "success"), wrong = 1;
    else if (!r && h->nonce != meant) complain("a newcomer: %s found another object", what), wrong = 1;
    if (!r) nshm_close(h, 0);
    return wrong;
}
static int observe(void) { /* as a newcomer */
    nshm_handle h;
    nshm_info info;
    uint32_t cursor = 0, count_x = 0, count_m = 0;
    int r, wrong = 0;
    char name[16];
    alarm(30);
    if (board->made) {
        r = find(board->made_name, board->made_type, NSHM_READONLY, &h);
        wrong |= expect("open of what was made", r, 0, &h, board->made);
    }
    if (now->world & NEW_WORLD) return wrong;
    r = find("X", NSHM_SECTION, 0, &h);
    wrong |= expect("open X", r, 0, &h, board->nonce);
    r = make("X", NSHM_SECTION, 0, &h);
    wrong |= expect("create X", r, 0, &h, board->nonce);
    r = make("X", NSHM_SECTION, NSHM_EXCLUSIVE, &h);
    wrong |= expect("make X", r, -EEXIST, &h, 0);
    r = find("M", NSHM_MUTEX, 0, &h);
    wrong |= expect("open M", r, 0, &h, board->mutex_nonce);
    while (!(r = nshm_next(&scope, &cursor, &info))) {
        snprintf(name, sizeof name, "%.*s", info.record.length, info.record.name);
        count_x += !strcmp(name, "X");
        count_m += !strcmp(name, "M");
    }
    if (r != -ENOENT || count_x != 1 || count_m != 1) complain("a newcomer: list came to %d, X %u times, M %u times", r, count_x, count_m), wrong = 1;
    return wrong;
}
static int in_a_process(int (*what)(void)) {
    int status;
    pid_t pid = fork_known();
    if (pid < 0) broken("fork");
    if (!pid) _exit(what());
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) broken("waitpid");
    if (!WIFEXITED(status)) complain("an observer died of signal %d", WTERMSIG(status));
    return !WIFEXITED(status) || WEXITSTATUS(status);
}
static int heal(void) { /* a creator removes what was left unmarked */
    nshm_handle h;
    if (make("heal", NSHM_SECTION, 0, &h)) return 1;
    nshm_close(&h, 0);
    return 0;
}

static pid_t holder;
static void end(pid_t pid) {
    if (pid <= 0) return;
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {}
}
static void remove_strays(void) {
    segment list[64];
    int n = own_segments(list, 64);
    for (int i = 0; i < n && i < 64; i++) shmctl(list[i].id, IPC_RMID, NULL);
}
static void start_holder(void) {
    int ready[2];
    end(holder);
    remove_strays(); /* so that one complaint does not become many */
    if (pipe2(ready, O_CLOEXEC)) broken("pipe");
    holder = fork_known();
    if (holder < 0) broken("fork");
    if (!holder) {
        nshm_handle x, m;
        if (make("X", NSHM_SECTION, NSHM_EXCLUSIVE, &x) || make("M", NSHM_MUTEX, NSHM_EXCLUSIVE, &m)) broken("holder");
        board->nonce = x.nonce;
        board->mutex_nonce = m.nonce;
        board->ids[0] = x.token_id, board->ids[1] = x.data_id, board->ids[2] = m.token_id, board->ids[3] = m.data_id;
        board->ids[4] = nshm__places->id;
        if (write(ready[1], "!", 1) != 1) _exit(BROKEN);
        for (;;) pause();
    }
    close(ready[1]);
    wait_for_byte(ready[0]);
    close(ready[0]);
}

static int one_run(const operation *o) {
    int told[2], go_on[2], status, result, before, left;
    segment list[64];
    char byte;
    now = o;
    bad = 0;
    if (o->world & NEW_WORLD) end(holder), holder = 0;
    else if (!holder) start_holder();
    before = own_segments(list, 64);
    board->made = 0;
    if (pipe2(told, O_CLOEXEC) || pipe2(go_on, O_CLOEXEC)) broken("pipe");
    pid_t pid = fork_known();
    if (pid < 0) broken("fork");
    if (!pid) {
        close(told[0]);
        close(go_on[1]);
        _exit(run_with_fault(o, told[1], go_on[0]));
    }
    close(told[1]);
    close(go_on[0]);
    if (read(told[0], &byte, 1) == 1 && in_a_process(observe)) bad = 1;
    close(go_on[1]);
    close(told[0]);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) broken("waitpid");
    board->made = 0;
    result = WIFEXITED(status) ? WEXITSTATUS(status) : BAD;
    if (!WIFEXITED(status)) complain("died of signal %d", WTERMSIG(status));
    if (result == BROKEN) exit(BROKEN);
    if (result == LIE) {
        end(holder);
        holder = 0;
        remove_strays();
        return LIE;
    }
    if (result == NOT_REACHED) return result;
    if (!(o->world & NEW_WORLD)) {
        if (in_a_process(observe)) result = BAD;
        if (own_segments(list, 64) != before && in_a_process(heal)) complain("no creator after it"), result = BAD;
    }
    left = own_segments(list, 64);
    int may_wait = call == FAULT_REMOVE || (call == FAULT_SHMAT && (error_number == EIDRM || error_number == EINVAL));
    if (o->world & NEW_WORLD) { /* an unmarked candidate may wait for the next maker of a registry */
        for (int i = 0; i < left && i < 64; i++)
            if (list[i].attached || list[i].resident || !may_wait) complain("a segment is left"), result = BAD, show_segments();
        remove_strays();
    } else if (left != before) {
        if (!may_wait) complain("%d segments, %d before", left, before), result = BAD, show_segments();
        start_holder();
    }
    if (result == BAD || bad) {
        end(holder);
        holder = 0;
        remove_strays();
        return BAD;
    }
    return result;
}

int main(int argc, char **argv) {
    long stride = argc > 1 ? atol(argv[1]) : 1, at = argc > 2 ? atol(argv[2]) : 0;
    char session[64];
    double start = seconds();
    snprintf(session, sizeof session, "observed-%d-%lx", (int)getpid(), (long)time(NULL));
    unsetenv("NSHM_TEST_NO_NAMESPACE");
    enter_own_world();
    if (!isolated) return 77; /* it removes segments by what they look like */
    board = shared_memory(sizeof *board);
    for (is_global = 0; is_global < 2; is_global++) {
        nshm_scope_init(&scope, is_global ? NSHM_GLOBAL : NSHM_LOCAL, is_global ? NULL : session, is_global ? 7 : -1, 1);
        if (is_global && nshm__numbers(&scope)) continue; /* it is for the owner of the IPC namespace */
        for (int i = 0; i < OPERATIONS; i++)
            for (int f = 0; f < FAULTS; f++) {
                call = faults[f].call;
                call_name = faults[f].name;
                int reached = 1; /* how often the operation makes this call does not depend on the error much: ask once */
                for (int e = 0; e < 16 && faults[f].errors[e] && reached; e++) {
                    error_number = faults[f].errors[e];
                    for (number = 0; number < 60; number++) { /* 0: every call fails */
                        if ((at++ % stride && number > 1) || (!number && call == FAULT_RANDOM && error_number == EINTR)) continue;
                        int result = one_run(&operations[i]);
                        runs++;
                        if (result == NOT_REACHED) {
                            if (number < 2) reached = 0;
                            break;
                        }
                        hits++;
                        lies += result == LIE;
                        violations += result == BAD;
                    }
                }
            }
        end(holder);
        holder = 0;
    }
    printf("runs=%ld faults=%ld lies=%ld violations=%ld seconds=%.1f\n", runs, hits, lies, violations, seconds() - start);
    return violations ? CAUGHT : 0;
}
