/* step.c - kill a process at every instruction and every system call of one operation, and see who is the worse for it.
 *
 *   step SCENARIO STRIDE    SIGKILL at every system call's entry and exit and at every STRIDE-th instruction
 *   step list               the scenarios
 *
 * The victim is traced.  A first run counts its stops (single steps, entries and exits of system calls); each further run makes
 * new objects, leads a new victim to one stop and kills it there.  Other processes sleep on the objects meanwhile.
 *
 * After each kill: nobody sleeps on something that is there; the mutex can be had, and whether its owner died is told at most
 * once, and is told if the victim had it for sure; counts are as before or as after; nobody's reservation is left; the registry's
 * lock is free.
 *
 * Nobody looks again by himself: naps last an hour.  Except beside a victim that waits for several: it may keep a wake-up when it is
 * killed, and the others look again every tenth of a second.
 */
#include "../crash/tracing.h"

static void at_step(const char *what);
#define NSHM_STEP(what) at_step(what)
static int64_t nap = 3600000000000LL; /* nanoseconds */
#define NSHM_NAP nap
#include "namedshm_sync.h"
#include "settled.h"

#ifndef PATIENCE
#define PATIENCE 4 /* seconds; what is due takes microseconds */
#endif
enum { SLEEPERS = 2 };

enum { M, M2, MG, E, G, S, OBJECTS }; /* mutexes (MG: Global), an auto-reset event, a manual-reset one, a semaphore */
static const struct {
    const char *name;
    int type, manual, maximum, scope;
} things[OBJECTS] = {
    {"M", NSHM_MUTEX, 0, 0, NSHM_LOCAL},  {"M2", NSHM_MUTEX, 0, 0, NSHM_LOCAL}, {"MG", NSHM_MUTEX, 0, 0, NSHM_GLOBAL},
    {"E", NSHM_EVENT, 0, 0, NSHM_LOCAL}, {"G", NSHM_EVENT, 1, 0, NSHM_LOCAL},  {"S", NSHM_SEMAPHORE, 0, 5, NSHM_LOCAL},
};

static struct blackboard {
    _Atomic int done, result;
    struct {
        _Atomic int done, result;
    } sleeper[SLEEPERS];
} *board;
static nshm_scope scopes[2]; /* Local, Global */
static nshm_handle handles[OBJECTS];
static nshm_waitee objects[OBJECTS];
static long violations, runs;
static const char *running;
static int where;
static const char *dies_at; /* of this process: the step at which it kills itself */

static void at_step(const char *what) {
    if (dies_at && !strcmp(what, dies_at)) kill(getpid(), SIGKILL);
}

static void __attribute__((format(printf, 1, 2))) violation(const char *format, ...) {
    va_list list;
    if (violations++ >= 5) return;
    fprintf(stderr, "%s, stop %d: ", running, where);
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fprintf(stderr, "\n");
    for (int k = 0; k < OBJECTS; k++)
        fprintf(stderr, "    %s: state %x waiters %u pulse %x\n", things[k].name, objects[k].words->state, objects[k].words->waiters,
                objects[k].words->pulse);
}

/* ------------------------------------------------------------------------------------------------ operations */
static int wait_for(int all, int64_t seconds_, int count, const int *set) { /* -1: for ever */
    nshm_wait_context c;
    int r;
    memset(&c, 0, sizeof c);
    c.all = all;
    c.count = count;
    c.deadline = seconds_ < 0 ? INT64_MAX : seconds_ ? nshm_now() + seconds_ * 1000000000 : 0;
    for (int i = 0; i < count; i++) c.object[i] = objects[set[i]];
    while ((r = nshm_wait(&c)) == -EINTR) {}
    return r;
}
static int acquire(int k, int64_t seconds_) { return wait_for(0, seconds_, 1, &k); }
static int release(int k) { return nshm_mutex_release(&objects[k]); }

static void nothing(void) {}
static void own(void) { acquire(M, 0); }
static void own_twice(void) { acquire(M, 0), acquire(M, 0); }
static void own_both(void) { acquire(M, 0), acquire(M2, 0); }
static void set_all(void) {
    uint32_t previous;
    nshm_event_set(&objects[E]);
    nshm_event_set(&objects[G]);
    nshm_semaphore_release(&objects[S], 2, &previous);
}
/* what a wait-all that was killed between reserving and committing leaves */
static void reserve_all_and_die(void) {
    set_all();
    for (int k = 0; k < OBJECTS; k++) objects[k].words->state |= nshm__bit(&objects[k]);
}

/* what a giver does that is killed before it wakes who sleeps */
static void give_and_die(void) {
    uint32_t previous;
    dies_at = "given";
    nshm_semaphore_release(&objects[S], 2, &previous);
}
static void set_and_die(void) {
    dies_at = "set";
    nshm_event_set(&objects[E]);
}
static void release_m(void) { release(M); }

static int do_acquire(void) { return acquire(M, 0); }
static int do_wait(void) { return acquire(M, -1); }
static int do_wait_semaphore(void) { return acquire(S, -1); }
static int do_wait_event(void) { return acquire(E, -1); }
static int do_watch(void) { /* as an event loop does: poll, watch, poll */
    nshm_wait_context waits[2], *both[2] = {&waits[0], &waits[1]};
    uint32_t control = 0;
    unsigned char ready[2] = {1, 1};
    int r;
    memset(waits, 0, sizeof waits);
    waits[0].count = 1;
    waits[0].object[0] = objects[M];
    waits[1].count = 2;
    waits[1].object[0] = objects[E];
    waits[1].object[1] = objects[S];
    for (;;) {
        for (int i = 0; i < 2; i++)
            if (ready[i] && (r = nshm_wait(both[i])) != -ETIMEDOUT) return r;
        if ((r = nshm_watch(both, 2, &control, 0, ready))) return r;
    }
}
static int do_release(void) { return release(M); }
static int do_release_first(void) { return release(M); } /* of two: in the middle of the list */
static int do_wait_any(void) { return wait_for(0, -1, 3, (int[]){M, S, E}); }
static int do_wait_any_event(void) { return wait_for(0, -1, 2, (int[]){E, M}); }
static int do_wait_all(void) { return wait_for(1, -1, 4, (int[]){M, E, G, S}); }
static int do_wait_all_of_both_scopes(void) { return wait_for(1, -1, 4, (int[]){MG, E, M, S}); }
static int do_wait_all_recursively(void) { return wait_for(1, -1, 3, (int[]){M2, M, S}); }
static int do_set(void) { return settled(&objects[E], nshm_event_set(&objects[E])); }
static int do_set_manual(void) { return settled(&objects[G], nshm_event_set(&objects[G])); }
static int do_reset(void) { return settled(&objects[G], nshm_event_reset(&objects[G])); }
static int do_pulse(void) { return settled(&objects[E], nshm_event_pulse(&objects[E])); }
static int do_release_semaphore(void) {
    uint32_t previous;
    return settled(&objects[S], nshm_semaphore_release(&objects[S], 2, &previous));
}
static int do_create_owned(void) {
    nshm_sync_start start = {NSHM_MUTEX, 0, 0, 1};
    nshm_handle h;
    return nshm_create(&scopes[NSHM_LOCAL], NSHM_MUTEX, "owned", 5, 4096, 0600, -1, 0, 0, 0, nshm_sync_fill, &start, &h);
}

typedef struct {
    const char *name;
    void (*world)(void);   /* in a process of its own that ends, before everything */
    void (*prepare)(void); /* by the victim */
    int (*operate)(void);
    int sleep_on, sleepers; /* others, asleep before the victim begins */
    void (*let_go)(void);   /* another owns M; it does this when the victim, and then a sleeper on `sleep_on`, are asleep */
    int owns_before, owns_after; /* does the victim own M for sure? */
} scenario;
static const scenario scenarios[] = {
    {"acquire", nothing, nothing, do_acquire, M, 0, NULL, 0, 1},
    {"acquire_again", nothing, own, do_acquire, M, 2, NULL, 1, 1},
    {"acquire_what_the_dead_reserved", reserve_all_and_die, nothing, do_acquire, M, 0, NULL, 0, 1},
    {"release", nothing, own, do_release, M, 2, NULL, 1, 0},
    {"release_one_of_two", nothing, own_both, do_release_first, M, 2, NULL, 1, 0},
    {"release_half", nothing, own_twice, do_release, M, 2, NULL, 1, 1},
    {"be_woken", nothing, nothing, do_wait, M, 0, release_m, 0, 1},
    {"be_woken_in_a_wait_for_several", nothing, nothing, do_wait_any_event, M, 0, release_m, 0, 1},
    {"be_woken_by_a_dying_releaser", nothing, nothing, do_wait_semaphore, S, 0, give_and_die, 0, 0},
    {"be_woken_by_a_dying_setter", nothing, nothing, do_wait_event, E, 0, set_and_die, 0, 0},
    {"watch", nothing, nothing, do_watch, M, 0, release_m, 0, 1},
    {"wait_any", set_all, nothing, do_wait_any, M, 0, NULL, 0, 1},
    {"wait_all", set_all, nothing, do_wait_all, M, 0, NULL, 0, 1},
    {"wait_all_of_both_scopes", set_all, nothing, do_wait_all_of_both_scopes, M, 0, NULL, 0, 1},
    {"wait_all_recursively", set_all, own, do_wait_all_recursively, M, 2, NULL, 1, 1},
    {"wait_all_what_the_dead_reserved", reserve_all_and_die, nothing, do_wait_all, M, 0, NULL, 0, 1},
    {"set", nothing, nothing, do_set, E, 2, NULL, 0, 0},
    {"set_manual", nothing, nothing, do_set_manual, G, 2, NULL, 0, 0},
    {"set_what_the_dead_reserved", reserve_all_and_die, nothing, do_set, E, 0, NULL, 0, 0},
    {"reset", set_all, nothing, do_reset, G, 0, NULL, 0, 0},
    {"pulse", nothing, nothing, do_pulse, E, 2, NULL, 0, 0},
    {"release_semaphore", nothing, nothing, do_release_semaphore, S, 2, NULL, 0, 0},
    {"create_owned", nothing, nothing, do_create_owned, M, 0, NULL, 0, 0},
};
enum { SCENARIOS = sizeof scenarios / sizeof *scenarios };

/* ------------------------------------------------------------------------------------------------ processes of a run */
static pid_t victim, sleeper[SLEEPERS], holder;
static int order[2];
static int sleepers_made, sleepers_nap;

/* How many sleep on the word: as many as can be moved from it to where they are. */
static int asleep(int k) {
    uint32_t *word = &objects[k].words->state;
    return (int)syscall(SYS_futex, word, FUTEX_REQUEUE, 0, (void *)(intptr_t)INT_MAX, word, 0);
}
static void wait_until_asleep(int k, int count) {
    double start = seconds();
    while (asleep(k) < count) {
        if (seconds() - start > PATIENCE) broken("a process does not fall asleep");
        sched_yield();
    }
}
static void start_sleeper(int k) {
    int i = sleepers_made++, before = asleep(k);
    pid_t pid = fork_known();
    if (pid < 0) broken("fork");
    if (!pid) {
        if (sleepers_nap) nap = 100000000;
        int r = acquire(k, -1);
        if (r >= 0 && things[k].type == NSHM_MUTEX) release(k);
        board->sleeper[i].result = r;
        board->sleeper[i].done = 1;
        _exit(0);
    }
    sleeper[i] = pid;
    wait_until_asleep(k, before + 1);
}
static void start_holder(const scenario *s) {
    char byte;
    int ready[2];
    if (pipe2(order, O_CLOEXEC) || pipe2(ready, O_CLOEXEC)) broken("pipe");
    holder = fork_known();
    if (holder < 0) broken("fork");
    if (!holder) {
        close(order[1]);
        if (acquire(M, 0) < 0 || write(ready[1], "!", 1) != 1) _exit(BROKEN);
        if (read(order[0], &byte, 1) == 1) s->let_go();
        _exit(0);
    }
    close(order[0]);
    close(ready[1]);
    if (read(ready[0], &byte, 1) != 1) broken("the holder did not come up");
    close(ready[0]);
}
/* The victim is asleep, or dead: a sleeper comes behind it, then the holder does its part. */
static void let_the_holder_go(const scenario *s) {
    if (holder <= 0) return;
    if (!sleepers_made) start_sleeper(s->sleep_on);
    if (write(order[1], "!", 1) != 1) broken("order");
    close(order[1]);
    while (waitpid(holder, NULL, 0) < 0 && errno == EINTR) {}
    holder = 0;
}

/* ------------------------------------------------------------------------------------------------ tracing */
static int stop_of_victim(void) {
    int stop = next_stop(&victim);
    if (stop < 0) broken("the victim died by itself");
    return stop;
}
/* One stop further; `inside` a system call or not.  Returns 1 if it stands at a call's entry or exit now. */
static int advance(int *inside, const scenario *s) {
    int call = *inside || at_system_call(victim, instruction_pointer(victim)), stop, status;
    if (ptrace(call ? PTRACE_SYSCALL : PTRACE_SINGLESTEP, victim, NULL, NULL)) broken("ptrace");
    if (*inside && holder > 0) { /* it may sleep in there until we act */
        double start = seconds();
        while (waitpid(victim, &status, __WALL | WNOHANG) != victim) {
            if (asleep(s->sleep_on) > 0) {
                let_the_holder_go(s);
                stop = stop_of_victim();
                goto stopped;
            }
            if (seconds() - start > PATIENCE) broken("a system call that does not end");
        }
        if (!WIFSTOPPED(status)) broken("the victim died by itself (%x)", status);
        stop = WSTOPSIG(status);
    } else stop = stop_of_victim();
stopped:
    if (stop == SIGSTOP) return -1; /* its end */
    if (!is_step(stop)) broken("signal %d", stop);
    if (call) *inside = !*inside;
    return call;
}

static void start_run(const scenario *s) {
    int status;
    memset(board, 0, sizeof *board);
    sleepers_made = 0;
    for (int k = 0; k < OBJECTS; k++) {
        nshm_sync_start start = {(uint32_t)things[k].type, (uint32_t)things[k].manual, (uint32_t)things[k].maximum, 0};
        int r = nshm_create(&scopes[things[k].scope], (uint16_t)things[k].type, things[k].name, strlen(things[k].name), 4096, 0600, -1, 0, NSHM_EXCLUSIVE, 0,
                            nshm_sync_fill, &start, &handles[k]);
        if (r || nshm_sync_waitee(&handles[k], (uint32_t)things[k].type, &objects[k])) broken("create %s: %s", things[k].name, strerror(-r));
    }
    pid_t pid = fork_known();
    if (!pid) {
        s->world();
        _exit(0);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    if (s->let_go) start_holder(s);
    victim = fork_known();
    if (victim < 0) broken("fork");
    if (!victim) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL)) _exit(NOT_TRACED);
        s->prepare();
        raise(SIGSTOP);
        board->result = s->operate();
        board->done = 1;
        raise(SIGSTOP);
        for (;;) pause();
    }
    if (waitpid(victim, &status, __WALL) < 0 || !WIFSTOPPED(status)) exit(NOT_TRACED);
    if (ptrace(PTRACE_SETOPTIONS, victim, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL)) broken("PTRACE_SETOPTIONS");
    for (int i = 0; i < s->sleepers; i++) start_sleeper(s->sleep_on);
}

/* ------------------------------------------------------------------------------------------------ what is left */
/* In a process of its own, within PATIENCE: says what is wrong and returns 1. */
static int inspect(const scenario *s, int done) {
    nshm_handle h;
    uint32_t previous;
    int r, had = 0;
    alarm(3 * PATIENCE);
    for (int k = M; k <= MG; k++) {
        r = acquire(k, PATIENCE);
        if (r < 0) return fprintf(stderr, "STUCK: %s cannot be acquired: %s\n", things[k].name, strerror(-r));
        int told_others = sleepers_made && s->sleep_on == M;
        if (k == M && !told_others && r != NSHM_ABANDONED && (s->owns_before && s->owns_after)) return fprintf(stderr, "UNTOLD\n");
        if (k == M && !told_others && r != NSHM_ABANDONED && s->owns_after && done) return fprintf(stderr, "UNTOLD at the end\n");
        if (release(k)) return fprintf(stderr, "ERR: release\n");
        if ((r = acquire(k, 0))) return fprintf(stderr, "MISTOLD: a second acquisition of %s comes to %x\n", things[k].name, r);
        release(k);
    }
    for (int k = E; k <= G; k++) {
        if ((r = settled(&objects[k], nshm_event_reset(&objects[k])))) return fprintf(stderr, "ERR: reset: %s\n", strerror(-r));
        if ((r = settled(&objects[k], nshm_event_set(&objects[k])))) return fprintf(stderr, "ERR: set: %s\n", strerror(-r));
        if ((r = acquire(k, 0))) return fprintf(stderr, "ERR: %s is set, but: %s\n", things[k].name, strerror(-r));
        if (k == E && acquire(k, 0) != -ETIMEDOUT) return fprintf(stderr, "DOUBLE: E was taken twice\n");
    }
    while ((r = acquire(S, 0)) == 0) had++;
    int started = s->world == nothing ? 0 : 2, least = started, most = started;
    int took = board->sleeper[0].done + board->sleeper[1].done;
    if (s->operate == do_release_semaphore) most = 2 - took, least = 0;
    if (s->operate == do_wait_semaphore) most = 2 - took - done, least = 0; /* the victim may have had one, and who sleeps may not have said so yet */
    if (s->operate == do_wait_all || s->operate == do_wait_all_of_both_scopes || s->operate == do_wait_all_recursively) least--, most -= done;
    if (had < least || had > most) return fprintf(stderr, "COUNT: %d are left, not %d to %d\n", had, least, most);
    if ((r = settled(&objects[S], nshm_semaphore_release(&objects[S], 1, &previous)))) return fprintf(stderr, "ERR: release S: %s\n", strerror(-r));
    if ((r = wait_for(1, PATIENCE, 5, (int[]){M, G, S, M2, MG}))) return fprintf(stderr, "STUCK: wait-all: %s\n", strerror(-r));
    nshm_sync_start start = {NSHM_MUTEX, 0, 0, 0};
    if ((r = nshm_create(&scopes[NSHM_GLOBAL], NSHM_MUTEX, "probe", 5, 4096, 0600, -1, 0, 0, 0, nshm_sync_fill, &start, &h)))
        return fprintf(stderr, "STUCK: create in Global: %s\n", strerror(-r));
    if ((r = nshm_create(&scopes[NSHM_LOCAL], NSHM_MUTEX, "owned", 5, 4096, 0600, -1, 0, 0, 0, nshm_sync_fill, &start, &h)))
        return fprintf(stderr, "STUCK: create: %s\n", strerror(-r));
    nshm_waitee o;
    if (!h.created || nshm_sync_waitee(&h, NSHM_MUTEX, &o)) return fprintf(stderr, "GHOST: a mutex nobody holds\n");
    return 0;
}
/* Does anybody sleep on what is there? */
static void check_sleepers(const scenario *s) {
    double start = seconds();
    int k = s->sleep_on, due;
    do {
        due = 0;
        for (int i = 0; i < sleepers_made; i++)
            if (!board->sleeper[i].done && nshm__signaled(&objects[k])) due++;
        for (int i = 0; i < sleepers_made; i++) /* mutexes are free now, whatever the word says */
            if (!board->sleeper[i].done && things[k].type == NSHM_MUTEX) due++;
        if (due) sched_yield();
    } while (due && seconds() - start < PATIENCE);
    if (due) violation("LOST: somebody sleeps on %s, which is there", things[k].name);
    int told = 0;
    for (int i = 0; i < sleepers_made; i++) {
        if (board->sleeper[i].done && board->sleeper[i].result < 0) violation("ERR: a sleeper got %s", strerror(-board->sleeper[i].result));
        told += board->sleeper[i].done && board->sleeper[i].result == NSHM_ABANDONED;
    }
    if (told > 1) violation("MISTOLD: abandonment was told %d times", told);
    if (sleepers_made && s->owns_before && s->owns_after && k == M && !told) violation("UNTOLD: no sleeper was told");
}
static void end_run(const scenario *s) {
    int status = 0, done = board->done;
    end_process(&victim);
    let_the_holder_go(s);
    check_sleepers(s);
    for (int i = 0; i < SLEEPERS; i++) end_process(&sleeper[i]); /* who sleeps on what is not there holds nothing */
    pid_t pid = fork_known();
    if (!pid) _exit(inspect(s, done) ? 1 : 0);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    if (WIFSIGNALED(status)) violation("STUCK: looking took too long (signal %d)", WTERMSIG(status));
    else if (status) violation("see above");
    for (int k = 0; k < OBJECTS; k++) nshm_close(&handles[k], 0);
    runs++;
}

int main(int argc, char **argv) {
    const scenario *s = NULL;
    char session[64];
    int list = argc > 1 && !strcmp(argv[1], "list"), stride = argc > 2 ? atoi(argv[2]) : 1, total = 0, calls = 0, seen_calls = 0;
    for (int i = 0; i < SCENARIOS; i++) {
        if (list) puts(scenarios[i].name);
        if (argc > 1 && !strcmp(argv[1], scenarios[i].name)) s = &scenarios[i];
    }
    if (list) return 0;
    if (!s || stride < 1) return fprintf(stderr, "usage: step SCENARIO [STRIDE]\n"), BROKEN;
    enter_own_world();
    running = s->name;
    sleepers_nap = s->operate == do_watch || s->operate == do_wait_any_event;
    board = shared_memory(sizeof *board);
    snprintf(session, sizeof session, "sync-%d-%lx", (int)getpid(), (long)time(NULL));
    for (int k = 0; k < 2; k++) nshm_scope_init(&scopes[k], k, session, -1, 1);
    double start = seconds();
    start_run(s);
    unsigned char *is_call = NULL;
    for (int inside = 0, r; (r = advance(&inside, s)) >= 0; total++) {
        if (!(is_call = realloc(is_call, (size_t)total + 1))) broken("memory");
        is_call[total] = (unsigned char)r;
        calls += r;
    }
    where = total;
    if (board->result < 0) violation("ERR: the operation: %s", strerror(-board->result));
    end_run(s);
    for (int at = 0; at < total && !violations; at++) {
        if (is_call[at] ? seen_calls++ % (1 + calls / 50) : at % stride) continue;
        where = at;
        start_run(s);
        for (int i = 0, inside = 0; i <= at; i++)
            if (advance(&inside, s) < 0) break; /* paths differ a little from run to run */
        end_run(s);
    }
    printf("stops=%d calls=%d runs=%ld violations=%ld seconds=%.1f\n", total, calls, runs, violations, seconds() - start);
    return violations ? CAUGHT : 0;
}
