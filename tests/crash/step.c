/* step.c - stop a process at every point of one operation, and kill it there, or let somebody else act there.
 *
 *   step kill SCENARIO STRIDE     SIGKILL at every system call's entry and exit, at every instruction after which shared memory or
 *                                 the announced lock changed, and at every STRIDE-th other instruction of the library
 *   step waiter SCENARIO STRIDE   the same where the victim has the lock, while another creator waits for it
 *   step pause SCENARIO STRIDE    the victim is stopped there, another process does a whole operation (each of several), then the
 *                                 victim goes on: all schedules of two operations with one preemption
 *   step cross SCENARIO STRIDE [STRIDE2 [PART]]
 *                                 the victim is stopped where something changed, a second traced process is led to each of its own
 *                                 positions, then the victim goes on to its end, then the second: two preemptions
 *   step list                     the scenarios
 *
 * The victim is traced.  A first run counts its instructions and finds out where something changed; each further run starts a
 * new world, leads the victim to one position, and has a new process look at what is left.  A position is (system call stops
 * passed, single steps since the last one).
 *
 * After each kill: who lives is found with its content, who died is not; the name can be made again; the lock is free; at most
 * one empty keyed segment is left, and the next creation removes it; the registry goes with its last holder.
 */
#include "common.h"

#include "namedshm.h"
#include "tracing.h"
#include <limits.h>

enum { SWEEP_AT = 256, SIZE = 100 };

/* ------------------------------------------------------------------------------------------------ what processes tell each other
 * In memory of its own, shared by all processes of a run. */
typedef struct {
    int result;
    int created;
    int holds;      /* has a handle of X at the end of its operation, and keeps it */
    uint64_t nonce; /* of X as it saw it */
    _Atomic int begun, done;
} account;

typedef struct {
    account victim, interloper, witness;
    _Atomic int child;   /* a process the victim forked, which inherited its handle or spare token */
    _Atomic int sibling; /* a process that shares the victim's memory, so that its death is slow */
    int bad_content;
} blackboard;
static blackboard *board;

static nshm_scope scope;
static char session[64];
static account *me; /* where this process says what it got */
static long runs, violations;
static const char *running = "";
static char where[128];

static void __attribute__((format(printf, 1, 2))) violation(const char *format, ...) {
    va_list list;
    if (violations++ >= 5) return;
    fprintf(stderr, "%s at %s: ", running, where);
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
}

/* ------------------------------------------------------------------------------------------------ operations on X */
static int fill(nshm_handle *h, void *context) {
    (void)context;
    ((uint64_t *)h->data)[0] = h->nonce;
    return 0;
}
static int create(const char *name, int flags, nshm_handle *h) {
    return nshm_create(&scope, NSHM_SECTION, name, strlen(name), SIZE, 0600, -1, 0, flags, 0, fill, NULL, h);
}
static int open_it(const char *name, int flags, nshm_handle *h) { return nshm_open(&scope, NSHM_SECTION, name, strlen(name), flags, h); }

static int account_for(account *a, int result, const nshm_handle *h) {
    a->result = result;
    if (!result) {
        a->created = h->created;
        a->nonce = h->nonce;
        if (*(volatile uint64_t *)h->data != h->nonce) board->bad_content = 1;
        a->holds = 1; /* last: a reader takes the rest from here */
    }
    return result;
}

static nshm_handle mine; /* the victim's */

static void prepare_nothing(void) {}
static void prepare_attach(void) {
    nshm_place *p;
    nshm_place_of(&scope, 0, &p);
}
static void prepare_hold(void) {
    account_for(me, create("X", 0, &mine), &mine);
}
/* a token without an object is kept for the next creation */
static void prepare_spare(void) {
    nshm_handle h;
    create("Z", 0, &h);
    nshm_close(&h, 0);
}
static void prepare_hold_and_spare(void) {
    nshm_handle h;
    create("Z", 0, &h);
    prepare_hold();
    nshm_close(&h, 0);
}
static void prepare_spare_with_child(void) {
    prepare_spare();
    pid_t pid = fork_unasked(); /* a child that has not come to its atfork handler yet */
    if (!pid)
        for (;;) pause();
    board->child = pid;
}
static void prepare_view(void) {
    create("X", 0, &mine);
    void *view = mine.data;
    nshm_close(&mine, 1);
    mine.data = view;
}
static void prepare_hold_with_child(void) {
    prepare_hold();
    pid_t pid = fork_known();
    if (!pid)
        for (;;) pause();
    board->witness.nonce = mine.nonce;
    board->witness.holds = 1;
    board->child = pid;
}

/* The kernel gives the lock of a killed process up before it unmaps its memory.  Here that takes until the sibling ends. */
static int wait_for_the_end(void *nothing) {
    (void)nothing;
    for (;;) pause();
    return 0;
}
static void prepare_slow_death(void) {
    static char stack[65536] __attribute__((aligned(64)));
    prepare_attach();
    int pid = clone(wait_for_the_end, stack + sizeof stack, CLONE_VM | SIGCHLD, NULL);
    if (pid < 0) broken("clone");
    know_pid(pid);
    board->sibling = pid;
}

static void do_create(void) { account_for(me, create("X", 0, &mine), &mine); }
static void do_create_new(void) { account_for(me, create("X", NSHM_EXCLUSIVE, &mine), &mine); }
static void do_open(void) { account_for(me, open_it("X", 0, &mine), &mine); }
static void do_open_readonly(void) { account_for(me, open_it("X", NSHM_READONLY, &mine), &mine); }
static void do_close(void) {
    me->holds = 0;
    nshm_close(&mine, 0);
}
static void do_close_keeping_the_view(void) {
    me->holds = 0;
    nshm_close(&mine, 1);
}
static void do_create_and_keep_the_view(void) {
    do_create();
    if (!me->result) do_close_keeping_the_view();
}
static void do_unmap(void) { munmap(mine.data, nshm_page_round(SIZE)); }
static void do_duplicate(void) {
    nshm_handle twin;
    me->result = nshm_duplicate(&mine, 0, &twin);
}
static void do_list(void) {
    nshm_info info;
    uint32_t cursor = 0;
    int r, seen = 0;
    while (!(r = nshm_next(&scope, &cursor, &info)))
        if (info.record.length == 1 && info.record.name[0] == 'X') seen = 1;
    me->result = r != -ENOENT ? r : seen ? 0 : -ENOENT;
}
static void do_open_then_close(void) {
    do_open();
    if (!me->result) do_close();
}

/* the name's own: X is held by the witness, as in all scenarios of these */
static void prepare_second_handle(void) {
    prepare_attach();
    if (open_it("X", 0, &mine)) _exit(BROKEN);
}
static void prepare_successor(void) {
    prepare_attach();
    if (nshm_prepare(&scope, NSHM_SECTION, SIZE, 0600, -1, 0, &mine)) _exit(BROKEN);
    fill(&mine, NULL);
}
static void do_retire(void) { me->result = nshm_retire(&mine); }
static void do_replace(void) { account_for(me, nshm_replace(&mine, "X", 1), &mine); }
static void do_prepare_and_replace(void) {
    prepare_successor();
    do_replace();
}

/* ------------------------------------------------------------------------------------------------ scenarios */
enum { RETIRES = 1, REPLACES = 2 };
typedef struct {
    const char *name;
    int other;   /* a process holds another name, so there is a registry */
    int witness; /* a process holds X; 2: and a slot before X's is free */
    int dead;    /* entries of killed processes: 1 is X itself, more is one less than the table's sweep needs */
    int locked;  /* the other process has the lock while the victim runs */
    void (*prepare)(void);
    void (*operate)(void);
    int takes; /* the victim takes the name from the witness: RETIRES, REPLACES */
} scenario;

static const scenario scenarios[] = {
    {"create_in_a_new_world", 0, 0, 0, 0, prepare_nothing, do_create, 0},
    {"create_by_a_newcomer", 1, 0, 0, 0, prepare_nothing, do_create, 0},
    {"create", 1, 0, 0, 0, prepare_attach, do_create, 0},
    {"create_over_a_dead_entry", 1, 0, 1, 0, prepare_attach, do_create, 0},
    {"create_exclusively_over_a_dead_entry", 1, 0, 1, 0, prepare_attach, do_create_new, 0},
    {"create_exclusively_what_lives", 1, 1, 0, 0, prepare_attach, do_create_new, 0},
    {"create_or_open_what_lives", 1, 1, 0, 0, prepare_attach, do_create, 0},
    {"create_with_a_sweep", 1, 0, SWEEP_AT - 1, 0, prepare_attach, do_create, 0},
    {"create_with_a_spare_token", 1, 0, 0, 0, prepare_spare, do_create, 0},
    {"create_with_a_spare_token_shared_with_a_child", 1, 0, 0, 0, prepare_spare_with_child, do_create, 0},
    {"create_and_keep_the_view_with_a_shared_spare", 1, 0, 0, 0, prepare_spare_with_child, do_create_and_keep_the_view, 0},
    {"create_and_die_slowly", 1, 0, 0, 0, prepare_slow_death, do_create, 0},
    {"create_behind_a_lock", 1, 0, 0, 1, prepare_attach, do_create, 0},
    {"open", 1, 1, 0, 0, prepare_attach, do_open, 0},
    {"open_by_a_newcomer", 0, 1, 0, 0, prepare_nothing, do_open, 0},
    {"open_read_only", 1, 1, 0, 0, prepare_attach, do_open_readonly, 0},
    {"open_a_dead_entry", 1, 0, 1, 0, prepare_attach, do_open, 0},
    {"open_a_missing_name", 1, 0, 0, 0, prepare_attach, do_open, 0},
    {"open_then_close", 1, 1, 0, 0, prepare_attach, do_open_then_close, 0},
    {"close_the_last_handle", 1, 0, 0, 0, prepare_hold, do_close, 0},
    {"close_the_last_handle_of_all", 0, 0, 0, 0, prepare_hold, do_close, 0},
    {"close_a_second_handle_with_a_spare_token", 1, 0, 0, 0, prepare_hold_and_spare, do_close, 0},
    {"close_while_a_child_holds", 1, 0, 0, 0, prepare_hold_with_child, do_close, 0},
    {"close_keeping_the_view", 1, 0, 0, 0, prepare_hold, do_close_keeping_the_view, 0},
    {"unmap_the_last_view", 1, 0, 0, 0, prepare_view, do_unmap, 0},
    {"duplicate", 1, 0, 0, 0, prepare_hold, do_duplicate, 0},
    {"list", 1, 1, 0, 0, prepare_attach, do_list, 0},
    {"list_a_dead_entry", 1, 0, 1, 0, prepare_attach, do_list, 0},
    {"retire", 1, 1, 0, 0, prepare_second_handle, do_retire, RETIRES},
    {"replace", 1, 1, 0, 0, prepare_successor, do_replace, REPLACES},
    {"replace_from_a_slot_before", 1, 2, 0, 0, prepare_successor, do_replace, REPLACES},
    {"prepare_and_replace", 1, 1, 0, 0, prepare_attach, do_prepare_and_replace, REPLACES},
    {"replace_a_dead_entry", 1, 0, 1, 0, prepare_successor, do_replace, REPLACES},
    {"replace_nothing", 1, 0, 0, 0, prepare_successor, do_replace, REPLACES},
};
enum { SCENARIOS = sizeof scenarios / sizeof *scenarios };

/* ------------------------------------------------------------------------------------------------ processes of a run */
typedef struct {
    pid_t pid;
    int order;  /* write a byte: go on */
    int answer; /* read a byte: done */
} peer;
static peer other, witness;

static void answer_on(int fd) {
    if (write(fd, "!", 1) != 1) _exit(BROKEN);
}
static int wait_on(int fd) {
    char byte;
    ssize_t n;
    while ((n = read(fd, &byte, 1)) < 0 && errno == EINTR) {}
    return n == 1;
}
/* A process that makes `name`, perhaps takes the lock, and waits for orders: the first closes its handle (or unlocks). */
static peer start_peer(const char *name, account *a, int lock) {
    int order[2], answer[2];
    if (pipe2(order, O_CLOEXEC) || pipe2(answer, O_CLOEXEC)) broken("pipe");
    peer p = {fork_known(), order[1], answer[0]};
    if (p.pid < 0) broken("fork");
    if (!p.pid) {
        nshm_handle h;
        close(order[1]);
        int r = create(name, NSHM_EXCLUSIVE, &h);
        if (r) {
            fprintf(stderr, "peer: create %s: %s\n", name, strerror(-r));
            _exit(BROKEN);
        }
        if (a) account_for(a, r, &h);
        if (lock && nshm__lock(nshm__places->registry, 1)) _exit(BROKEN);
        answer_on(answer[1]);
        wait_on(order[0]);
        if (lock) nshm__unlock(nshm__places->registry);
        else if (a) a->holds = 0, nshm_close(&h, 0);
        answer_on(answer[1]);
        for (;;) pause();
    }
    close(order[0]);
    close(answer[1]);
    if (!wait_on(p.answer)) broken("a peer did not come up");
    return p;
}
static void order_peer(const peer *p) {
    answer_on(p->order);
    if (!wait_on(p->answer)) broken("a peer did not answer");
}
static void end_peer(peer *p) {
    if (p->pid <= 0) return;
    end_process(&p->pid);
    close(p->order);
    close(p->answer);
}
static void make_dead_entries(int n) {
    int status;
    pid_t pid = fork_known();
    if (pid < 0) broken("fork");
    if (!pid) {
        nshm_handle h;
        char name[32] = "X";
        for (int i = 0; i < n; i++) {
            if (i) sprintf(name, "dead-%d", i);
            if (n > 1 && !i) strcpy(name, "dead-0");
            if (create(name, NSHM_EXCLUSIVE, &h)) _exit(1);
        }
        _exit(0);
    }
    if (waitpid(pid, &status, 0) < 0 || status) broken("no dead entries");
}

/* ------------------------------------------------------------------------------------------------ tracing */
static pid_t victim, second;

static int step(pid_t *traced, int request) {
    if (ptrace(request, *traced, NULL, NULL)) broken("ptrace");
    return next_stop(traced);
}
static int waits_for_the_lock(pid_t traced) { /* at a system call's entry */
    struct __ptrace_syscall_info info;
    return ptrace(PTRACE_GET_SYSCALL_INFO, traced, sizeof info, &info) > 0 && info.op == PTRACE_SYSCALL_INFO_ENTRY &&
           (info.entry.nr == SYS_sched_yield || info.entry.nr == SYS_futex || info.entry.nr == SYS_clock_nanosleep);
}
extern char __executable_start, etext;
static int in_library(unsigned long ip) { return ip >= (unsigned long)&__executable_start && ip < (unsigned long)&etext; }

/* What a process has changed so far, as others would see it after its death. */
typedef struct {
    uint64_t hash;
    int locked; /* it has the registry's lock */
} sight;
static int read_from(pid_t pid, const void *address, void *to, size_t n) {
    struct iovec local = {to, n}, remote = {(void *)address, n};
    return process_vm_readv(pid, &local, 1, &remote, 1, 0) == (ssize_t)n;
}
static nshm_registry *registry_of(pid_t pid) {
    nshm_place *place = NULL;
    nshm_registry *registry = NULL;
    return read_from(pid, &nshm__places, &place, sizeof place) && place && read_from(pid, &place->registry, &registry, sizeof registry) ? registry : NULL;
}
static sight look_at(pid_t pid, const struct robust_list_head *robust) {
    enum { SLOTS = 3 };
    struct {
        struct robust_list_head robust;
        nshm_registry *registry;
        char head[offsetof(nshm_registry, spare)];
        uint32_t lock;
        uint32_t hash[SLOTS];
        char record[SLOTS][80];
    } seen;
    memset(&seen, 0, sizeof seen);
    read_from(pid, robust, &seen.robust, sizeof seen.robust);
    if ((seen.registry = registry_of(pid))) {
        read_from(pid, seen.registry, seen.head, sizeof seen.head);
        read_from(pid, &seen.registry->lock, &seen.lock, sizeof seen.lock);
        read_from(pid, seen.registry->hash, seen.hash, sizeof seen.hash);
        for (int i = 0; i < SLOTS; i++) read_from(pid, &seen.registry->record[i], seen.record[i], sizeof seen.record[i]);
    }
    return (sight){nshm_hash64(&seen, sizeof seen), (seen.lock & FUTEX_TID_MASK) == (uint32_t)pid};
}
static int lock_has_waiters(pid_t pid) {
    nshm_registry *registry = registry_of(pid);
    uint32_t lock = 0;
    return registry && read_from(pid, &registry->lock, &lock, sizeof lock) && (lock & FUTEX_WAITERS);
}

typedef struct {
    int calls, steps;
    unsigned char changed, locked, library;
} position;
typedef struct {
    position *list;
    int count, room;
} course;

/* A traced process that has prepared itself and stands before its operation. */
static pid_t start_traced(void (*prepare)(void), void (*operate)(void), account *its) {
    pid_t pid = fork_known();
    if (pid < 0) broken("fork");
    if (!pid) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL)) _exit(NOT_TRACED);
        me = its;
        prepare();
        raise(SIGSTOP);
        me->begun = 1;
        operate();
        me->done = 1;
        raise(SIGSTOP);
        for (;;) pause();
    }
    int stop = next_stop(&pid);
    if (stop < 0) exit(NOT_TRACED);
    if (stop != SIGSTOP) broken("a traced process stopped with signal %d", stop);
    if (ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL)) broken("PTRACE_SETOPTIONS");
    return pid;
}

static void start_world(const scenario *s) {
    memset(board, 0, sizeof *board);
    if (s->other) other = start_peer("other", NULL, s->locked);
    account unused;
    peer before = {0, 0, 0};
    if (s->witness == 2) before = start_peer("before", &unused, 0);
    if (s->witness) witness = start_peer("X", &board->witness, 0);
    if (s->witness == 2) order_peer(&before);
    end_peer(&before);
    if (s->dead) make_dead_entries(s->dead);
    victim = start_traced(s->prepare, s->operate, &board->victim);
}
static void end_inherited(_Atomic int *pid) { /* a child of the victim's, which is dead: the first process has inherited it */
    pid_t it = *pid;
    end_process(&it);
    *pid = 0;
}
static void end_world(void) {
    end_process(&victim);
    end_process(&second);
    end_inherited(&board->child);
    end_inherited(&board->sibling);
    end_peer(&witness);
    end_peer(&other);
}

/* Step a process through its operation, noting each position.  It ends where the process waits for the lock, or after `limit`
 * system call stops. */
static void follow(pid_t *traced, account *its, course *c, int until_it_waits, int limit) {
    struct robust_list_head *robust = NULL;
    size_t n;
    int calls = 0, steps = 0, inside = 0;
    if (syscall(SYS_get_robust_list, *traced, &robust, &n)) robust = NULL;
    sight before = look_at(*traced, robust), now;
    c->count = 0;
    while (!its->done && calls < limit) {
        unsigned long ip = instruction_pointer(*traced);
        int is_call = inside || at_system_call(*traced, ip);
        int stop = step(traced, is_call ? PTRACE_SYSCALL : PTRACE_SINGLESTEP);
        if (!is_step(stop)) broken("signal %d in the first run", stop);
        if (is_call) inside = !inside, calls++, steps = 0;
        else steps++;
        if (!its->begun) continue;
        now = look_at(*traced, robust);
        if (c->count == c->room && !(c->list = realloc(c->list, (size_t)(c->room = c->room * 2 + 1000) * sizeof *c->list))) broken("memory");
        c->list[c->count++] = (position){calls, steps, now.hash != before.hash, (unsigned char)now.locked,
                                         (unsigned char)in_library(instruction_pointer(*traced))};
        before = now;
        if (until_it_waits && inside && waits_for_the_lock(*traced)) break;
    }
}

/* Lead it there.  Its operation may end before: paths differ a little from run to run. */
static void lead(pid_t *traced, const account *its, const position *p) {
    for (int i = 0; i < p->calls + p->steps && !its->done; i++) {
        int stop = step(traced, i < p->calls ? PTRACE_SYSCALL : PTRACE_SINGLESTEP);
        if (is_step(stop)) continue;
        if (stop != SIGSTOP) violation("signal %d on the way", stop);
        return;
    }
}
static void let_go(pid_t traced) { ptrace(PTRACE_CONT, traced, NULL, NULL); }
/* After let_go: has it come to its end?  1 yes, 0 not within the time. */
static int comes_to_its_end(pid_t *traced, const account *its, double limit) {
    double start = seconds();
    int status;
    while (*traced && seconds() - start < limit) {
        if (its->done) return 1; /* it may not have stopped yet; end_process takes it as it is */
        if (waitpid(*traced, &status, WNOHANG | __WALL) != *traced) {
            sched_yield();
            continue;
        }
        if (!WIFSTOPPED(status)) {
            *traced = 0;
            violation("a process died of signal %d when it went on", WIFSIGNALED(status) ? WTERMSIG(status) : 0);
            return 1;
        }
        if (!its->done) let_go(*traced); /* a stop left over from stepping */
    }
    return its->done;
}

/* ------------------------------------------------------------------------------------------------ looking at what is left */
enum { TAKES_TOO_LONG = 5 };

/* In a process of its own; says what is wrong, and returns 1 then.  `nonce`: of the object that must be there, 0 = none; with `either`,
 * both are right, but not something else, nor first the one and then the other. */
static int inspect(uint64_t nonce, int other_lives, int either) {
    nshm_handle h, twice;
    int r;
    alarm(TAKES_TOO_LONG);
    if (either) {
        if (!(r = open_it("X", NSHM_READONLY, &h))) nshm_close(&h, 0);
        else if (r == -ENOENT) nonce = 0;
    }
    r = open_it("X", 0, &h);
    if (nonce) {
        if (r) return fprintf(stderr, "LOST: open of a living object: %s\n", strerror(-r)), 1;
        if (h.nonce != nonce) return fprintf(stderr, "WRONG: another object\n"), 1;
        if (*(uint64_t *)h.data != nonce || h.size != SIZE) return fprintf(stderr, "WRONG: other content\n"), 1;
        if ((r = create("X", NSHM_EXCLUSIVE, &twice)) != -EEXIST) return fprintf(stderr, "DUP: exclusive create: %d\n", r), 1;
    } else {
        if (!r) return fprintf(stderr, "GHOST: a dead object was opened\n"), 1;
        if (r != -ENOENT) return fprintf(stderr, "ERR: open of a dead object: %s\n", strerror(-r)), 1;
        if ((r = create("X", NSHM_EXCLUSIVE, &h))) return fprintf(stderr, "ERR: create over a dead object: %s\n", strerror(-r)), 1;
        if (((uint64_t *)h.data)[1]) return fprintf(stderr, "DIRTY: a new object is not zero\n"), 1;
    }
    if ((r = open_it("X", 0, &twice)) || twice.nonce != h.nonce) return fprintf(stderr, "LOST: our own object: %s\n", strerror(-r)), 1;
    nshm_close(&twice, 0);
    nshm_close(&h, 0);
    if (other_lives && ((r = open_it("other", 0, &h)) || *(uint64_t *)h.data != h.nonce))
        return fprintf(stderr, "LOST: the other object: %s\n", strerror(-r)), 1;
    if ((r = create("new", NSHM_EXCLUSIVE, &h))) return fprintf(stderr, "ERR: create of a new name: %s\n", strerror(-r)), 1;
    return 0;
}
static void inspect_elsewhere(uint64_t nonce, int other_lives, int either) {
    int status;
    pid_t pid = fork_known();
    if (pid < 0) broken("fork");
    if (!pid) _exit(inspect(nonce, other_lives, either));
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) broken("waitpid");
    if (WIFSIGNALED(status)) violation("STUCK: looking took too long (signal %d)", WTERMSIG(status));
    else if (status) violation("see above");
}
static int living_segments(const scenario *s) { /* registry, token and data of each holder; perhaps a child's spare token */
    int objects = s->other + (board->witness.holds ? 1 : 0);
    return objects ? 1 + 2 * objects + (board->child > 0 && !board->witness.holds) : 0;
}
static void check_leftovers(const scenario *s, int healed, int makers) {
    leftovers left = find_leftovers(NSHM_REGISTRY_SIZE, NSHM_REGISTRY_SPAN);
    if (left.attached != living_segments(s))
        violation("LEFT: %d segments are attached, %d should be", left.attached, living_segments(s));
    if (left.strays || left.resident || left.keyed > (healed ? 0 : 1) || left.candidates > (healed ? 0 : makers))
        violation("LEFT: strays %d, resident %zu, keyed %d, candidates %d%s", left.strays, left.resident, left.keyed, left.candidates,
                  healed ? " after the next creation" : "");
    else return;
    show_segments();
}

static void check_end(void) {
    leftovers left = find_leftovers(NSHM_REGISTRY_SIZE, NSHM_REGISTRY_SPAN);
    if (!left.attached && !left.resident && !left.strays && !left.keyed && !left.candidates) return;
    violation("LEFT: something outlived everybody");
    show_segments();
}
static void say_where(const position *p, const position *q) {
    int n = snprintf(where, sizeof where, "system call stop %d, step %d", p->calls, p->steps);
    if (q) snprintf(where + n, sizeof where - (size_t)n, "; the second at stop %d, step %d", q->calls, q->steps);
}

/* ------------------------------------------------------------------------------------------------ kill */
static pid_t start_waiter(void) {
    pid_t pid = fork_known();
    if (pid < 0) broken("fork");
    if (!pid) {
        nshm_handle h;
        alarm(TAKES_TOO_LONG);
        int r = create("Y", NSHM_EXCLUSIVE, &h);
        if (r) fprintf(stderr, "waiter: %s\n", strerror(-r));
        _exit(r != 0);
    }
    return pid;
}
/* until it sleeps in the lock (then the mark is set in the lock word), or is through; *status is set in the second case */
static int wait_until_blocked(pid_t pid, int *status) {
    double start = seconds();
    while (seconds() - start < 0.02) {
        if (waitpid(pid, status, WNOHANG) == pid) return 1;
        if (lock_has_waiters(victim)) return 0;
        sched_yield();
    }
    return 0;
}
static void kill_at(const scenario *s, const position *p, int with_waiter) {
    int status = 0, through = 0;
    pid_t waiter = 0;
    runs++;
    start_world(s);
    say_where(p, NULL);
    lead(&victim, &board->victim, p);
    if (with_waiter) {
        waiter = start_waiter();
        through = wait_until_blocked(waiter, &status);
    }
    end_process(&victim);
    if (s->locked) order_peer(&other);
    if (waiter && !through)
        while (waitpid(waiter, &status, 0) < 0)
            if (errno != EINTR) broken("waitpid");
    if (waiter && status) violation("STUCK: the waiting creator came to %x", status);
    if (board->sibling) { /* still unmapped by nobody: the next creator must find its segment and remove it */
        pid_t next = start_waiter();
        while (waitpid(next, &status, 0) < 0)
            if (errno != EINTR) broken("waitpid");
        if (status) violation("ERR: create beside a dying creator came to %x", status);
        end_inherited(&board->sibling);
        check_leftovers(s, 1, 0);
    }
    check_leftovers(s, 0, 1);
    inspect_elsewhere(board->witness.holds ? board->witness.nonce : 0, s->other, s->takes);
    check_leftovers(s, 1, 0);
    end_world();
    check_end();
}

/* ------------------------------------------------------------------------------------------------ pause */
enum { DO_CREATE, DO_CREATE_NEW, DO_OPEN, DO_CREATE_AND_CLOSE, DO_LIST, WITNESS_CLOSES, INTERLOPERS };
static const char *interloper_name[] = {"create-or-open", "exclusive create", "open", "create and close", "list", "the witness closes"};

static pid_t start_interloper(int what, int answer) {
    pid_t pid = fork_known();
    if (pid < 0) broken("fork");
    if (pid) return pid;
    nshm_handle h;
    account *a = &board->interloper;
    alarm(TAKES_TOO_LONG);
    if (what == DO_OPEN) account_for(a, open_it("X", 0, &h), &h);
    else if (what == DO_LIST) {
        nshm_info info;
        uint32_t cursor = 0;
        int seen = 0;
        while (!nshm_next(&scope, &cursor, &info)) seen |= info.record.length == 1 && info.record.name[0] == 'X';
        a->result = seen ? 0 : -ENOENT;
    } else {
        account_for(a, create("X", what == DO_CREATE_NEW ? NSHM_EXCLUSIVE : 0, &h), &h);
        if (what == DO_CREATE_AND_CLOSE && !a->result) {
            a->holds = 0;
            nshm_close(&h, 0);
        }
    }
    alarm(0);
    a->done = 1;
    answer_on(answer);
    for (;;) pause();
}

/* The name was taken from the witness meanwhile, who holds what he held: the other found his object, or what came after it. */
static void check_taking(const scenario *s, int what_lives, int looks) {
    const account *v = &board->victim, *i = &board->interloper, *w = &board->witness;
    uint64_t nonce = s->takes == REPLACES ? v->nonce : 0;
    if (board->bad_content) violation("HALF: an object was found before it was filled");
    if (v->result && !(v->result == -ENOENT && !what_lives)) violation("ERR: victim: %s", strerror(-v->result));
    if (i->holds && i->nonce != w->nonce && i->nonce != nonce) {
        if (!i->created || (s->takes == REPLACES && what_lives)) violation("WRONG: an object that was never this name's");
        if (s->takes == RETIRES) nonce = i->nonce; /* else it was made first, and is replaced by now */
    }
    if (i->result && i->result != -ENOENT && i->result != -EEXIST) violation("ERR: the other: %s", strerror(-i->result));
    if (s->takes == REPLACES && what_lives && looks && i->result == -ENOENT) violation("LOST: a name that was never free");
    inspect_elsewhere(nonce, s->other, 0);
}
/* Both operations are over, and everybody still has what he got. */
static void check_schedule(const scenario *s, int held_throughout, int held_at_start, int listed) {
    const account *v = &board->victim, *i = &board->interloper;
    const account *all[] = {v, i, &board->witness};
    uint64_t nonce = 0;
    if (s->takes) {
        check_taking(s, held_throughout, !listed);
        return;
    }
    if (board->bad_content) violation("HALF: an object was found before it was filled");
    for (int k = 0; k < 3; k++) {
        if (!all[k]->holds) continue;
        if (nonce && all[k]->nonce != nonce) violation("DUP: two living objects");
        nonce = all[k]->nonce;
    }
    if (v->result && v->result != -ENOENT && v->result != -EEXIST) violation("ERR: victim: %s", strerror(-v->result));
    if (i->result && i->result != -ENOENT && i->result != -EEXIST) violation("ERR: the other: %s", strerror(-i->result));
    if (held_throughout && (v->result == -ENOENT || i->result == -ENOENT)) violation("LOST: a name that was held throughout");
    if (held_throughout && (v->created || i->created)) violation("DUP: created beside a living object");
    if (!held_at_start && ((v->result == -EEXIST && !i->created) || (i->result == -EEXIST && !v->created)))
        violation("GHOST: somebody saw a name that nobody made");
    inspect_elsewhere(nonce, s->other, 0);
}
static int anybody_holds(void) { return board->victim.holds || board->interloper.holds || board->witness.holds; }

static void pause_at(const scenario *s, const position *p, int what) {
    int answer[2], status, held_at_start, held_throughout;
    pid_t interloper = 0;
    long before = violations;
    runs++;
    if (pipe2(answer, O_CLOEXEC | O_NONBLOCK)) broken("pipe");
    start_world(s);
    held_at_start = anybody_holds();
    held_throughout = board->witness.holds && what != WITNESS_CLOSES;
    board->victim.created = 0;
    say_where(p, NULL);
    lead(&victim, &board->victim, p);
    if (what == WITNESS_CLOSES) order_peer(&witness);
    else {
        interloper = start_interloper(what, answer[1]);
        /* it goes through, or waits for the victim: for its lock, or for its candidate of a registry */
        double start = seconds(), limit = p->locked || s->locked ? 0.02 : !s->other && !board->witness.holds ? 0.004 : 2;
        while (!board->interloper.done && seconds() - start < limit && !lock_has_waiters(victim)) sched_yield();
    }
    if (s->locked) order_peer(&other);
    if (victim && !board->victim.done) let_go(victim);
    if (!comes_to_its_end(&victim, &board->victim, TAKES_TOO_LONG)) violation("STUCK: the victim never ended");
    if (interloper) {
        double start = seconds();
        while (!board->interloper.done && seconds() - start < TAKES_TOO_LONG + 1 && waitpid(interloper, &status, WNOHANG) == 0) sched_yield();
        if (!board->interloper.done) {
            violation("STUCK: the interloper never ended");
            interloper = 0;
        }
    }
    check_schedule(s, held_throughout, held_at_start, what == DO_LIST);
    if (violations > before) fprintf(stderr, "  the interloper's operation: %s\n", interloper_name[what]);
    if (interloper) end_process(&interloper);
    end_world();
    close(answer[0]);
    close(answer[1]);
    check_end();
}

/* ------------------------------------------------------------------------------------------------ cross */
typedef struct {
    const char *name;
    void (*prepare)(void), (*operate)(void);
} part;
static const part seconds_part[] = {
    {"open", prepare_attach, do_open},
    {"create", prepare_attach, do_create},
    {"create_new", prepare_attach, do_create_new},
    {"close", prepare_attach, do_open_then_close},
};
enum { PARTS = sizeof seconds_part / sizeof *seconds_part };

static void start_both(const scenario *s, const position *p, const part *its) {
    start_world(s);
    second = start_traced(its->prepare, its->operate, &board->interloper);
    lead(&victim, &board->victim, p);
}
static void cross_at(const scenario *s, const position *p, const part *its, const position *q) {
    int held_at_start, held_throughout;
    long before = violations;
    runs++;
    start_world(s);
    held_at_start = anybody_holds();
    held_throughout = board->witness.holds;
    board->victim.created = 0;
    second = start_traced(its->prepare, its->operate, &board->interloper);
    say_where(p, q);
    lead(&victim, &board->victim, p);
    lead(&second, &board->interloper, q);
    if (!board->victim.done) let_go(victim);
    /* it may wait for the lock that the second has */
    if (comes_to_its_end(&victim, &board->victim, q->locked ? 0.002 : 0.1) || 1)
        if (!board->interloper.done) let_go(second);
    if (!comes_to_its_end(&second, &board->interloper, TAKES_TOO_LONG)) violation("STUCK: the second never ended");
    if (!comes_to_its_end(&victim, &board->victim, TAKES_TOO_LONG)) violation("STUCK: the victim never ended");
    check_schedule(s, held_throughout, held_at_start, 0);
    if (violations > before) fprintf(stderr, "  the second's operation: %s\n", its->name);
    end_world();
    check_end();
}
static void cross(const scenario *s, const position *p, int stride, const char *only) {
    static course its;
    for (int k = 0; k < PARTS && violations < 3; k++) {
        if (only && strcmp(only, seconds_part[k].name)) continue;
        int plain = 0;
        start_both(s, p, &seconds_part[k]);
        follow(&second, &board->interloper, &its, 1, INT_MAX);
        end_world();
        for (int i = 0; i < its.count && violations < 3; i++)
            if (its.list[i].changed || !its.list[i].steps || (its.list[i].library && plain++ % stride == 0))
                cross_at(s, p, &seconds_part[k], &its.list[i]);
    }
}

/* ------------------------------------------------------------------------------------------------ main */
int main(int argc, char **argv) {
    const scenario *s = NULL;
    const char *mode = argc > 1 ? argv[1] : "";
    for (int i = 0; i < SCENARIOS; i++) {
        if (!strcmp(mode, "list")) puts(scenarios[i].name);
        else if (argc > 2 && !strcmp(argv[2], scenarios[i].name)) s = &scenarios[i];
    }
    if (!strcmp(mode, "list")) return 0;
    if (!s) return fprintf(stderr, "usage: step kill|waiter|pause|cross SCENARIO [STRIDE [STRIDE OF CHANGES [PART]]]\n"), BROKEN;
    int stride = argc > 3 ? atoi(argv[3]) : 1, special_stride = argc > 4 ? atoi(argv[4]) : 1;
    enter_own_world();
    running = s->name;
    board = shared_memory(sizeof *board);
    snprintf(session, sizeof session, "step-%d-%lx", (int)getpid(), (long)time(NULL));
    nshm_scope_init(&scope, NSHM_LOCAL, session, -1, 1);
    double start = seconds();
    course c = {NULL, 0, 0};
    start_world(s);
    follow(&victim, &board->victim, &c, 0, s->locked ? 90 : INT_MAX);
    end_world();
    int waiter = !strcmp(mode, "waiter"), pausing = !strcmp(mode, "pause"), crossing = !strcmp(mode, "cross");
    int chosen = 0, plain = 0, special = 0;
    for (int i = 0; i < c.count && violations < 3; i++) {
        const position *p = &c.list[i];
        if (waiter && !p->locked) continue;
        if (p->steps == 0 || p->changed) {
            if (special++ % special_stride) continue;
        } else if (crossing || !p->library || plain++ % stride) continue;
        chosen++;
        if (crossing) cross(s, p, stride, argc > 5 ? argv[5] : NULL);
        else if (!pausing) kill_at(s, p, waiter);
        else
            for (int what = 0; what < INTERLOPERS; what++)
                if (what != WITNESS_CLOSES || s->witness) pause_at(s, p, what);
    }
    printf("positions=%d special=%d chosen=%d runs=%ld violations=%ld seconds=%.1f\n", c.count, special, chosen, runs, violations,
           seconds() - start);
    return violations ? CAUGHT : 0;
}
