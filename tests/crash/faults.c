/* faults.c - every system call of every operation fails once, with every error its manual allows.
 *
 * For each (operation, call, n, errno) a new process does the operation while the n-th such call fails.  Then: the operation
 * succeeded or returned a documented error; a failed one left no attachment and nothing in its handle; no segment is left but
 * an empty keyed one, where the kernel refused to remove it; and the same operation, done again, does what it should.
 */
#include "common.h"

#include "faultshim.h"
#include "namedshm.h"

#include "attached.h"

static nshm_scope scope;
static long runs, hits, violations;

enum { SIZE = 100 };

static int fill(nshm_handle *h, void *context) {
    (void)context;
    if (h->data) ((uint64_t *)h->data)[0] = h->nonce;
    return 0;
}
static int create(const char *name, int flags, nshm_handle *h) {
    return nshm_create(&scope, NSHM_SECTION, name, strlen(name), SIZE, 0600, -1, 0, flags, 0, fill, NULL, h);
}
static int open_it(const char *name, int flags, nshm_handle *h) { return nshm_open(&scope, NSHM_SECTION, name, strlen(name), flags, h); }

/* ------------------------------------------------------------------------------------------------ operations
 * Each is done in a world prepared for it, and says what it must return without a fault. */
static nshm_handle held;
static nshm_parked parked, outgoing;

static int op_create(nshm_handle *h) { return create("X", 0, h); }
static int op_create_new(nshm_handle *h) { return create("X", NSHM_EXCLUSIVE, h); }
static int op_open(nshm_handle *h) { return open_it("X", 0, h); }
static int op_open_readonly(nshm_handle *h) { return open_it("X", NSHM_READONLY, h); }
static int op_unnamed(nshm_handle *h) { return nshm_create_unnamed(&scope, SIZE, 0600, 0, h); }
static int op_duplicate(nshm_handle *h) { return nshm_duplicate(&held, 0, h); }
static int op_send(nshm_handle *h) {
    int r = nshm_send(&scope, &held, 0, "\001parcel", 7, 0, &outgoing);
    memset(h, 0, sizeof *h);
    if (r) h->token = outgoing.object.token ? outgoing.object.token : outgoing.box.token; /* must not be left */
    return r;
}
static int op_receive(nshm_handle *h) {
    nshm_note note;
    return nshm_receive(&scope, NULL, "\001parcel", 7, h, &note);
}
static int op_list(nshm_handle *h) {
    nshm_info info;
    uint32_t cursor = 0;
    int r;
    memset(h, 0, sizeof *h);
    while (!(r = nshm_next(&scope, &cursor, &info))) {}
    return r == -ENOENT ? 0 : r;
}
static int op_close(nshm_handle *h) {
    memset(h, 0, sizeof *h);
    if (held.scope) nshm_close(&held, 0);
    return 0;
}
static int op_close_keeping(nshm_handle *h) {
    void *view = held.data;
    memset(h, 0, sizeof *h);
    if (held.scope) nshm_close(&held, 1);
    if (view) munmap(view, nshm_page_round(SIZE)); /* last: nothing may remain */
    held.data = NULL;
    return 0;
}
static int op_retire(nshm_handle *h) {
    memset(h, 0, sizeof *h);
    int r = nshm_retire(&held);
    return r == -ENOENT ? 0 : r; /* done before */
}
static int op_replace(nshm_handle *h) {
    int r = nshm_prepare(&scope, NSHM_SECTION, SIZE, 0600, -1, 0, h);
    if (r) return r;
    if ((r = nshm_replace(h, "X", 1))) nshm_close(h, 0);
    return r;
}

enum { NEW_WORLD = 1, WITNESS = 2, DEAD = 4, HELD = 8, PARCEL = 16, SPARE = 32, CONTENDED = 64, NO_ATTACH = 128 };
typedef struct {
    const char *name;
    int (*operate)(nshm_handle *);
    int world;
    int expected;
} operation;
static const operation operations[] = {
    {"create in a new world", op_create, NEW_WORLD, 0},
    {"create by a newcomer", op_create, NO_ATTACH, 0},
    {"create", op_create, 0, 0},
    {"create with a spare token", op_create, SPARE, 0},
    {"create while another has the lock", op_create, CONTENDED, 0},
    {"create over a dead entry", op_create, DEAD, 0},
    {"exclusive create over a dead entry", op_create_new, DEAD, 0},
    {"create what lives", op_create, WITNESS, 0},
    {"exclusive create of what lives", op_create_new, WITNESS, -EEXIST},
    {"open", op_open, WITNESS, 0},
    {"open by a newcomer", op_open, WITNESS | NO_ATTACH, 0},
    {"open read-only", op_open_readonly, WITNESS, 0},
    {"open a dead entry", op_open, DEAD, -ENOENT},
    {"open a missing name", op_open, 0, -ENOENT},
    {"unnamed", op_unnamed, 0, 0},
    {"duplicate", op_duplicate, HELD, 0},
    {"send", op_send, HELD, 0},
    {"receive", op_receive, HELD | PARCEL, 0},
    {"list", op_list, WITNESS, 0},
    {"retire", op_retire, HELD, 0},
    {"replace", op_replace, WITNESS, 0},
    {"replace by a newcomer", op_replace, WITNESS | NO_ATTACH, 0},
    {"replace a dead entry", op_replace, DEAD, 0},
    {"replace nothing", op_replace, 0, 0},
    {"close", op_close, HELD, 0},
    {"close keeping the view", op_close_keeping, HELD, 0},
};

static const struct {
    int call;
    const char *name;
    int errors[8];
} faults[] = {
    {FAULT_SHMGET, "shmget", {ENOMEM, ENOSPC, EINVAL, ENFILE, EACCES, ENOSYS}},
    {FAULT_SHMAT, "shmat", {EACCES, EIDRM, EINVAL, ENOMEM, ENFILE}},
    {FAULT_STAT, "IPC_STAT", {EACCES, EIDRM, EINVAL, EOVERFLOW}},
    {FAULT_REMOVE, "IPC_RMID", {EPERM, EIDRM, EINVAL}},
    {FAULT_INFO, "SHM_STAT", {EINVAL, EACCES, EIDRM}},
    {FAULT_SET, "IPC_SET", {EPERM, EIDRM}},
    {FAULT_MUNMAP, "munmap", {EINVAL, ENOMEM}},
    {FAULT_RANDOM, "getrandom", {EINTR, ENOSYS}},
    {FAULT_FUTEX, "futex", {EINTR, EAGAIN, ETIMEDOUT}},
    {FAULT_ROBUST, "robust list", {ENOSYS, EPERM}},
};
enum { FAULTS = sizeof faults / sizeof *faults, OPERATIONS = sizeof operations / sizeof *operations };

/* what namedshm.h documents */
static int documented(int r) {
    static const int known[] = {ENOENT, EEXIST, EACCES, EPERM, EBADMSG, ENOSPC, ENOMEM, EINVAL, ENOSYS, ENFILE, ETIMEDOUT, EINTR, EUCLEAN, ESTALE};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (r == -known[i]) return 1;
    return 0;
}
/* "gone" said of what lives: the kernel does not lie so, and nobody could tell */
static int a_lie(const operation *o, int call, int error) {
    return (o->world & (WITNESS | HELD)) && (call == FAULT_SHMAT || call == FAULT_STAT || call == FAULT_INFO) && (error == EINVAL || error == EIDRM);
}

/* ------------------------------------------------------------------------------------------------ one run */
static const operation *now;
static const char *call_name;
static int number, error_number;
static void __attribute__((format(printf, 1, 2))) complain(const char *format, ...) {
    va_list list;
    fprintf(stderr, "%s, %s number %d fails with %s: ", now->name, call_name, number, strerrorname_np(error_number));
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
}

enum { REACHED = 0, NOT_REACHED = 10, BAD = 11 };

static int run_with_fault(const operation *o, int call) {
    nshm_handle h, again;
    nshm_place *place;
    int r, bad = 0, hit, before, after, r2;
    alarm(20);
    if (!(o->world & (NEW_WORLD | NO_ATTACH)) && nshm_place_of(&scope, 0, &place)) broken("no registry");
    if (o->world & SPARE) {
        if (create("Z", 0, &h)) broken("create Z");
        nshm_close(&h, 0);
    }
    if ((o->world & HELD) && create("X", 0, &held)) broken("create X");
    if ((o->world & PARCEL) && nshm_send(&scope, &held, 0, "\001parcel", 7, 0, &parked)) broken("send");
    before = attachments();
    fault_arm(call, number, error_number);
    r = o->operate(&h);
    hit = fault_disarm();
    after = attachments();
    if (!hit) return NOT_REACHED;
    if (r > 0 || (r < 0 && !documented(r) && r != -error_number)) complain("returned %d", r), bad = 1;
    if (r < 0 && call != FAULT_MUNMAP) {
        if (after > before) complain("%d attachments were left (returned %d)", after - before, r), bad = 1;
        if (h.token || h.data) complain("the handle still points somewhere (returned %d)", r), bad = 1;
    }
    if (!r && o->expected == -EEXIST && !a_lie(o, call, error_number)) complain("it was created though it lives"), bad = 1;
    if (!r && h.data && !(o->world & HELD) && o->operate != op_unnamed) {
        /* it is a real object: found under its name, with its content */
        if ((r2 = open_it("X", 0, &again))) complain("made or opened, but then not found: %d", r2), bad = 1;
        else {
            if (again.nonce != h.nonce && !a_lie(o, call, error_number)) complain("another object is found"), bad = 1;
            nshm_close(&again, 0);
        }
    }
    if (!r && (h.token || h.data)) nshm_close(&h, 0);
    if (!r && o->operate == op_send) nshm_unsend(&outgoing, 1);
    /* the same again, without a fault */
    if (o->operate == op_close || o->operate == op_close_keeping) {
        if ((r2 = open_it("X", 0, &again)) != -ENOENT && call != FAULT_MUNMAP) complain("after the close it is still there: %d", r2), bad = 1;
        return bad ? BAD : REACHED;
    }
    if (o->operate == op_receive && !r) return bad ? BAD : REACHED;
    r2 = o->operate(&again);
    if (r2 != o->expected && !a_lie(o, call, error_number) && !(call == FAULT_MUNMAP && r2 == -EEXIST)) complain("done again it returned %d", r2), bad = 1;
    if (!r2 && (again.token || again.data)) nshm_close(&again, 0);
    if (!r2 && o->operate == op_send) nshm_unsend(&outgoing, 1);
    return bad ? BAD : REACHED;
}

/* ------------------------------------------------------------------------------------------------ the world around it */
static void wait_for_byte(int fd) {
    char byte;
    while (read(fd, &byte, 1) < 0 && errno == EINTR) {}
}
static pid_t start_holder(const char *name, int dies, int lock) {
    int ready[2];
    if (pipe2(ready, O_CLOEXEC)) broken("pipe");
    pid_t pid = fork_known();
    if (pid < 0) broken("fork");
    if (!pid) {
        nshm_handle h;
        if (create(name, NSHM_EXCLUSIVE, &h)) broken("holder of %s", name);
        if (dies) _exit(0);
        if (lock && nshm__lock(nshm__places->registry, 1)) _exit(BROKEN);
        if (write(ready[1], "!", 1) != 1) _exit(BROKEN);
        if (lock) { /* until somebody waits for it */
            while (!(__atomic_load_n(&nshm__places->registry->lock, __ATOMIC_RELAXED) & FUTEX_WAITERS)) sched_yield();
            usleep(2000);
            nshm__unlock(nshm__places->registry);
        }
        for (;;) pause();
    }
    close(ready[1]);
    if (dies) {
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {}
        pid = 0;
    } else {
        wait_for_byte(ready[0]);
    }
    close(ready[0]);
    return pid;
}
static void end_holder(pid_t pid) {
    if (pid <= 0) return;
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {}
}

static int one_run(const operation *o, int call) {
    int status, result;
    pid_t other = 0, witness = 0;
    now = o;
    if (!(o->world & NEW_WORLD)) other = start_holder("other", 0, o->world & CONTENDED);
    if (o->world & WITNESS) witness = start_holder("X", 0, 0);
    if (o->world & DEAD) start_holder("X", 1, 0);
    pid_t pid = fork_known();
    if (pid < 0) broken("fork");
    if (!pid) _exit(run_with_fault(o, call));
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) broken("waitpid");
    result = WIFEXITED(status) ? WEXITSTATUS(status) : BAD;
    if (!WIFEXITED(status)) complain("died of signal %d", WTERMSIG(status));
    if (result == BROKEN) exit(BROKEN);
    end_holder(witness);
    end_holder(other);
    leftovers left = find_leftovers(NSHM_REGISTRY_SIZE, NSHM_REGISTRY_SPAN);
    /* where the kernel refused to remove something, or said that it was removed already, an empty segment may wait for the next creator */
    int may_wait = call == FAULT_REMOVE || (call == FAULT_SHMAT && (error_number == EIDRM || error_number == EINVAL));
    if (left.attached || left.resident || left.keyed > may_wait || left.candidates > may_wait || (left.strays && o->operate != op_unnamed)) {
        complain("left: attached %d, keyed %d, candidates %d, strays %d, resident %zu", left.attached, left.keyed, left.candidates,
                 left.strays, left.resident);
        show_segments();
        result = BAD;
    }
    if (left.keyed || left.candidates || left.strays) { /* the next creator heals it */
        pid_t healer = start_holder("heal", 0, 0);
        end_holder(healer);
        left = find_leftovers(NSHM_REGISTRY_SIZE, NSHM_REGISTRY_SPAN);
        if (left.keyed || left.candidates) {
            complain("not healed: keyed %d, candidates %d", left.keyed, left.candidates);
            result = BAD;
        }
        segment list[64];
        int n = own_segments(list, 64); /* so that one complaint does not become many */
        for (int i = 0; i < n && i < 64; i++) shmctl(list[i].id, IPC_RMID, NULL);
    }
    return result;
}

int main(void) {
    char session[64];
    double start = seconds();
    snprintf(session, sizeof session, "faults-%d-%lx", (int)getpid(), (long)time(NULL));
    enter_own_world();
    nshm_scope_init(&scope, NSHM_LOCAL, session, -1, 1);
    for (int i = 0; i < OPERATIONS; i++)
        for (int f = 0; f < FAULTS; f++) {
            call_name = faults[f].name;
            for (int e = 0; e < 8 && faults[f].errors[e]; e++) {
                error_number = faults[f].errors[e];
                for (number = 1; number < 200; number++) {
                    int result = one_run(&operations[i], faults[f].call);
                    runs++;
                    if (result == NOT_REACHED) break;
                    hits++;
                    violations += result == BAD;
                }
            }
        }
    printf("runs=%ld faults=%ld violations=%ld seconds=%.1f\n", runs, hits, violations, seconds() - start);
    return violations ? CAUGHT : 0;
}
