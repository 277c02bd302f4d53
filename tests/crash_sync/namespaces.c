/* namespaces.c - one mutex, two PID namespaces, and two threads of equal number.
 *
 *   namespaces SCENARIO    see `scenarios` at the end; exit status 77: no such namespaces here
 *
 * A is process 1 of one namespace, B process 1 of another, C process 2 beside B.  They do what they are told, one thing at a time.
 */
#include "../crash/common.h"

static void at_step(const char *what);
#define NSHM_STEP(what) at_step(what)
#define NSHM_NAP 3600000000000LL
#include "namedshm_sync.h"

#ifndef PATIENCE
#define PATIENCE 10 /* seconds; what is due takes microseconds */
#endif
enum { NO_NAMESPACES = 77 };
enum { A, B, C, ROLES };
enum { NOTHING, OPEN, TRY, WAIT, RELEASE };

static struct {
    _Atomic int pid[ROLES], number[ROLES], order[ROLES], result[ROLES];
    _Atomic int armed[ROLES];     /* how often it began to sleep */
    _Atomic int freeze_at[ROLES]; /* 1: "taking", 2: "released" */
    _Atomic int frozen[ROLES];
} *board;
static int me = -1; /* role of this process; -1: the one that tells the others what to do */
static char session[64];
static nshm_scope scope;
static nshm_handle handle;
static nshm_waitee mutex;

static void at_step(const char *what) {
    if (me < 0) return;
    if (!strcmp(what, "armed")) board->armed[me]++;
    int here = !strcmp(what, "taking") ? 1 : !strcmp(what, "released") ? 2 : 0;
    if (!here || board->freeze_at[me] != here) return;
    board->frozen[me] = 1;
    for (;;) pause();
}
static int open_it(void) {
    nshm_sync_start start = {NSHM_MUTEX, 0, 0, 0};
    nshm_scope_init(&scope, NSHM_LOCAL, session, -1, 1);
    int r = nshm_create(&scope, NSHM_MUTEX, "m", 1, 4096, 0600, -1, 0, 0, 0, nshm_sync_fill, &start, &handle);
    return r ? r : nshm_sync_waitee(&handle, NSHM_MUTEX, &mutex);
}
static int wait_for_it(void) {
    nshm_wait_context c;
    memset(&c, 0, sizeof c);
    c.count = 1;
    c.object[0] = mutex;
    c.deadline = INT64_MAX;
    return nshm_wait(&c);
}
static int carry_out(int order) {
    switch (order) {
    case OPEN: return open_it();
    case TRY: return nshm_try(&mutex);
    case WAIT: return wait_for_it();
    default: return nshm_mutex_release(&mutex);
    }
}
static void __attribute__((noreturn)) play(int role) {
    me = role;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    board->number[role] = getpid();
    for (;;) {
        while (board->order[role] == NOTHING) sched_yield();
        board->result[role] = carry_out(board->order[role]);
        board->order[role] = NOTHING;
    }
}
/* The first process of a namespace of its own plays `first`, its second one `second`. */
static void start(int first, int second) {
    pid_t helper = fork_known();
    if (!helper) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (unshare(CLONE_NEWPID)) _exit(NO_NAMESPACES);
        pid_t inner = fork();
        if (inner) {
            board->pid[first] = inner;
            waitpid(inner, NULL, 0);
            _exit(0);
        }
        if (second >= 0 && !fork()) play(second);
        play(first);
    }
    while (!board->number[first] || !board->pid[first] || (second >= 0 && !board->number[second])) {
        int status;
        if (waitpid(helper, &status, WNOHANG) == helper) exit(NO_NAMESPACES);
        sched_yield();
    }
}
static void until(const char *what, int (*there)(int), int role) {
    double start_ = seconds();
    while (!there(role)) {
        if (seconds() - start_ > PATIENCE) {
            fprintf(stderr, "STUCK: role %d: %s\n", role, what);
            exit(CAUGHT);
        }
        sched_yield();
    }
}
static int is_done(int role) { return board->order[role] == NOTHING; }
static int is_frozen(int role) { return board->frozen[role]; }
static int is_asleep(int role) {
    return board->armed[role] && (int)syscall(SYS_futex, &mutex.words->state, FUTEX_REQUEUE, 0, (void *)(intptr_t)INT_MAX, &mutex.words->state, 0) > 0;
}
static int slept_again(int role) { return board->armed[role] > 1 && is_asleep(role); }
static void tell(int role, int order) { board->order[role] = order; }
static int ask(int role, int order) {
    tell(role, order);
    until("does not come to an end", is_done, role);
    return board->result[role];
}
static void end(int role) {
    kill(board->pid[role], SIGKILL);
    while (!kill(board->pid[role], 0) || errno != ESRCH) sched_yield(); /* its helper buries it */
}
static void expect(const char *what, int got, int wanted) {
    if (got == wanted) return;
    fprintf(stderr, "%s: %d, not %d (state %x)\n", what, got, wanted, mutex.words->state);
    exit(CAUGHT);
}

/* ------------------------------------------------------------------------------------------------ scenarios */
static void ownership(void) {
    expect("A takes it", ask(A, TRY), 0);
    expect("B takes it as if it were A", ask(B, TRY), -EAGAIN);
    expect("B releases what A has", ask(B, RELEASE), -EPERM);
    expect("A takes it again", ask(A, TRY), 0);
    expect("A releases it", ask(A, RELEASE), 0);
    expect("B takes it before A is done", ask(B, TRY), -EAGAIN);
    expect("A releases it for good", ask(A, RELEASE), 0);
    expect("B takes it", ask(B, TRY), 0);
    expect("A releases what B has", ask(A, RELEASE), -EPERM);
    expect("B releases it", ask(B, RELEASE), 0);
}
static void abandonment(void) {
    expect("A takes it", ask(A, TRY), 0);
    tell(B, WAIT);
    until("B does not fall asleep", is_asleep, B);
    end(A);
    until("B is not woken", is_done, B);
    expect("B is told", board->result[B], NSHM_ABANDONED);
    expect("B releases it", ask(B, RELEASE), 0);
    expect("it is told once", ask(C, TRY), 0);
}
static void a_namesake_that_does_not_own_it_dies(void) {
    expect("A takes it", ask(A, TRY), 0);
    tell(B, WAIT);
    until("B does not fall asleep", is_asleep, B);
    end(B);
    expect("it is still A's", nshm_try(&mutex), -EAGAIN);
    expect("A releases it", ask(A, RELEASE), 0);
    expect("nothing was abandoned", nshm_try(&mutex), 0);
}
/* B sleeps while C has it; then A, of another namespace and with B's number, takes it while B, woken, does not run; B is killed. */
static void a_sleeper_dies_when_its_namesake_has_it(void) {
    expect("C takes it", ask(C, TRY), 0);
    tell(B, WAIT);
    until("B does not fall asleep", is_asleep, B);
    expect("A tries it", ask(A, TRY), -EAGAIN);
    until("B does not begin anew", slept_again, B);
    kill(board->pid[B], SIGSTOP);
    expect("C releases it", ask(C, RELEASE), 0);
    expect("A takes it", ask(A, TRY), 0);
    end(B);
    expect("it is still A's", nshm_try(&mutex), -EAGAIN);
    expect("A releases it", ask(A, RELEASE), 0);
}
/* The limit that is documented: B is killed in the few instructions in which the word is pending and may be its namesake's. */
static void killed_while_taking(void) {
    board->freeze_at[B] = 1;
    tell(B, TRY);
    until("B does not come there", is_frozen, B);
    expect("A takes it", ask(A, TRY), 0);
    end(B);
    expect("it is still A's", nshm_try(&mutex), -EAGAIN);
}
static void killed_while_releasing(void) {
    expect("B takes it", ask(B, TRY), 0);
    board->freeze_at[B] = 2;
    tell(B, RELEASE);
    until("B does not come there", is_frozen, B);
    expect("A takes it", ask(A, TRY), 0);
    end(B);
    expect("it is still A's", nshm_try(&mutex), -EAGAIN);
}
static const struct {
    const char *name;
    void (*run)(void);
} scenarios[] = {
    {"ownership", ownership},
    {"abandonment", abandonment},
    {"a_namesake_that_does_not_own_it_dies", a_namesake_that_does_not_own_it_dies},
    {"a_sleeper_dies_when_its_namesake_has_it", a_sleeper_dies_when_its_namesake_has_it},
    {"killed_while_taking", killed_while_taking},
    {"killed_while_releasing", killed_while_releasing},
};

int main(int argc, char **argv) {
    snprintf(session, sizeof session, "namespaces-%d-%lx", (int)getpid(), (long)time(NULL));
    enter_own_world();
    if (!isolated) return NO_NAMESPACES;
    board = shared_memory(sizeof *board);
    start(A, -1);
    start(B, C);
    if (board->number[A] != board->number[B] || board->number[B] == board->number[C]) broken("the numbers");
    expect("B makes it", ask(B, OPEN), 0); /* so it begins as a mutex of B's and C's namespace */
    expect("the others open it", ask(A, OPEN) | ask(C, OPEN) | open_it(), 0);
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++)
        if (argc > 1 && !strcmp(argv[1], scenarios[i].name)) {
            scenarios[i].run();
            return 0;
        }
    return BROKEN;
}
