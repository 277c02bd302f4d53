/* step.c - kill a process at every instruction and every system call of one operation on a topic, and see who is the worse for it.
 *
 *   step SCENARIO STRIDE    SIGKILL at every system call's entry and exit and at every STRIDE-th instruction
 *   step list               the scenarios
 *
 * The victim is traced.  A first run counts its stops (single steps, entries and exits of system calls); each further run makes
 * a new topic, leads a new victim to one stop and kills it there.  Another process may sleep meanwhile for the next value.
 *
 * After each kill: the last value and the whole history can be read; others publish and read at once, and the number is the next one; what was
 * pinned before is as it was; the victim's value is there if it had passed the step that publishes it; and when the dead were looked for, no
 * frame, pin or place is anybody's.
 *
 * Nobody looks again by himself: naps last an hour.  Who sleeps though there is a newer value, because the victim was to wake him (see
 * "Kills" in namedshm_topic.h), is counted as late, and must be woken by the next value.
 */
#include "../crash/tracing.h"

#define NSHM_TOPIC_NAP 3600000000000LL
#define NSHM_TOPIC_WAKES 1
static void at_step(int published);
#define NSHM_STEP(what) at_step(!__builtin_strcmp(what, "published"))
#include "topics.h"

#ifndef PATIENCE
#define PATIENCE 4 /* seconds; what is due takes microseconds */
#endif
enum { BEFORE = 3, HISTORY = 2, PINS = 3, WRITERS = 3, FIRST = 100, OWN = 7, SURVIVORS = 2 };

static struct blackboard {
    _Atomic int done, result, published;
    _Atomic int sleeper_done, sleeper_result;
    _Atomic uint64_t sleeper_got;
} *board;
static int is_victim;
static inline void at_step(int published) {
    if (published && is_victim) board->published = 1;
}
static nshm_topic t; /* ours: of who looks after the victim */
static long violations, runs, late;
static const char *running;
static int where;
static uint32_t message; /* bytes */
static char filled[4000];

static void __attribute__((format(printf, 1, 2))) violation(const char *format, ...) {
    va_list list;
    if (violations++ >= 5) return;
    fprintf(stderr, "%s, stop %d: ", running, where);
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fprintf(stderr, "\n    latest %lx lock %x table %x wishes %u served %u\n", t.head->latest, t.head->lock, t.head->table, *t.wishes, t.head->served);
}

/* ------------------------------------------------------------------------------------------------ operations */
static void fill(char *to, uint64_t n) {
    for (uint32_t i = 0; i < message; i += 8) memcpy(to + i, &n, 8);
}
static int whole(const char *from, uint64_t length, uint64_t *n) {
    memcpy(n, from, 8);
    for (uint32_t i = 0; i < message; i += 8)
        if (memcmp(from + i, n, 8)) return 0;
    return length == message;
}
static int publish(nshm_topic *to, uint64_t n) {
    fill(filled, n);
    return nshm_topic_publish(to, filled, message, INT64_MAX, NULL);
}
static nshm_topic mine; /* the victim's */
static char read_to[4000];
static int do_publish(void) { return publish(&mine, OWN); }
static int do_loan(int commit) {
    nshm_topic_window w;
    int r = nshm_topic_loan(&mine, &w, INT64_MAX);
    if (r) return r;
    fill(w.data, OWN);
    return commit ? nshm_topic_commit(&mine, &w, message, INT64_MAX) : nshm_topic_abandon(&mine, &w);
}
static int do_commit(void) { return do_loan(1); }
static int do_abandon(void) { return do_loan(0); }
static int do_read(void) {
    nshm_topic_window w;
    uint64_t n;
    int r = nshm_topic_latest(&mine, 0, read_to, sizeof read_to, &w, 0);
    return r ? r : !whole(read_to, w.length, &n);
}
static int do_pin(void) {
    nshm_topic_window w;
    uint64_t n;
    int r = nshm_topic_pin(&mine, 0, NULL, 0, &w, 0);
    if (r) return r;
    return !whole(w.data, w.length, &n) || nshm_topic_release(&mine, &w);
}
static int do_open_and_close(void) {
    int r = nshm_topic_open(&scope, TOPIC_NAME, 0, &mine);
    if (!r) r = nshm_topic_join(&mine, NSHM_WRITER);
    if (!r) r = nshm_topic_join(&mine, NSHM_PINNER);
    if (!r) nshm_topic_close(&mine);
    return r;
}
static int do_close_with_all(void) { /* a loan and a pin were taken before */
    nshm_topic_close(&mine);
    return 0;
}
static int do_sweep(void) { return nshm__topic_sweep(&mine) < 0; }
static int do_end(void) { return nshm_topic_end(&mine); }
static int do_wait(void) {
    nshm_topic_window w;
    return nshm_topic_latest(&mine, BEFORE, read_to, sizeof read_to, &w, INT64_MAX);
}

/* Somebody who died with a loan, with a pin, and with a frame that was to be the next value. */
static void leave_all_kinds(void) {
    nshm_topic_window w;
    nshm_topic dying;
    open_topic(&dying, 0);
    if (nshm_topic_pin(&dying, 0, NULL, 0, &w, 0) || nshm_topic_loan(&dying, &w, 0)) _exit(BROKEN);
    dying.frame[w.frame].state = (nshm_topic_number(&dying) + 1) << 1;
    if (nshm_topic_loan(&dying, &w, 0)) _exit(BROKEN);
    kill(getpid(), SIGKILL);
}

typedef struct {
    const char *name;
    int (*operate)(void);
    int framed;         /* values of 2,000 bytes in frames; else of 8 in the ring */
    int publishes;      /* what the victim does to the topic */
    int sleeper;        /* another sleeps for the value after the last */
    int world;          /* somebody died before, with all that one can leave */
    int woken;          /* the victim sleeps, the other comes behind it, then we wake one */
} scenario;
static const scenario scenarios[] = {
    {"publish", do_publish, 0, 1, 0, 0, 0},
    {"publish_to_a_sleeper", do_publish, 0, 1, 1, 0, 0},
    {"publish_a_frame", do_publish, 1, 1, 0, 0, 0},
    {"publish_a_frame_to_a_sleeper", do_publish, 1, 1, 1, 0, 0},
    {"publish_what_the_dead_kept_back", do_publish, 1, 1, 0, 1, 0},
    {"loan_and_commit", do_commit, 1, 1, 0, 0, 0},
    {"loan_and_abandon", do_abandon, 1, 0, 0, 0, 0},
    {"read", do_read, 0, 0, 0, 0, 0},
    {"read_a_frame", do_read, 1, 0, 0, 0, 0},
    {"pin_and_release", do_pin, 1, 0, 0, 0, 0},
    {"open_and_close", do_open_and_close, 1, 0, 0, 0, 0},
    {"close_with_all", do_close_with_all, 1, 0, 0, 0, 0},
    {"sweep", do_sweep, 1, 0, 0, 1, 0},
    {"end", do_end, 0, 0, 1, 0, 0},
    {"be_woken", do_wait, 0, 0, 1, 0, 1},
};
enum { SCENES = sizeof scenarios / sizeof *scenarios };

/* ------------------------------------------------------------------------------------------------ processes of a run */
static pid_t victim, sleeper;
static int woke; /* we did our part in waking the victim */

static void sleep_and_tell(void) {
    nshm_topic_window w;
    nshm_topic own;
    uint64_t n = 0;
    open_topic(&own, NSHM_READONLY);
    int r = nshm_topic_latest(&own, BEFORE, read_to, sizeof read_to, &w, INT64_MAX);
    board->sleeper_result = r ? r : whole(read_to, w.length, &n) ? 0 : -EBADMSG;
    board->sleeper_got = w.number;
    nshm_topic_close(&own);
    board->sleeper_done = 1;
    _exit(0);
}
static void start_sleeper(void) {
    int before = nshm_topic_waiting(&t);
    double begun = seconds();
    sleeper = fork_known();
    if (sleeper < 0) broken("fork");
    if (!sleeper) sleep_and_tell();
    while (nshm_topic_waiting(&t) <= before) {
        if (seconds() - begun > PATIENCE) broken("a process does not fall asleep");
        sched_yield();
    }
}
static void wake_one(void) { /* the victim sleeps: another behind it, then a value, which wakes one */
    if (woke) return;
    woke = 1;
    start_sleeper();
    if (publish(&t, FIRST + BEFORE)) broken("cannot wake");
}

/* ------------------------------------------------------------------------------------------------ tracing */
static int stop_of_victim(void) {
    int stop = next_stop(&victim);
    if (stop < 0) broken("the victim died by itself");
    return stop;
}
/* One stop further; `inside` a system call or not.  Returns 1 if it stands at a call's entry or exit now; -1: it is through. */
static int advance(int *inside, const scenario *s) {
    int call = *inside || at_system_call(victim, instruction_pointer(victim)), stop, status;
    if (ptrace(call ? PTRACE_SYSCALL : PTRACE_SINGLESTEP, victim, NULL, NULL)) broken("ptrace");
    if (*inside && s->woken && !woke) { /* it may sleep in there until we act */
        double begun = seconds();
        while (waitpid(victim, &status, __WALL | WNOHANG) != victim) {
            if (nshm_topic_waiting(&t) > 0) {
                wake_one();
                stop = stop_of_victim();
                goto stopped;
            }
            if (seconds() - begun > PATIENCE) broken("a system call that does not end");
        }
        if (!WIFSTOPPED(status)) broken("the victim died by itself (%x)", status);
        stop = WSTOPSIG(status);
    } else stop = stop_of_victim();
stopped:
    if (stop == SIGSTOP) return -1;
    if (!is_step(stop)) broken("signal %d", stop);
    if (call) *inside = !*inside;
    return call;
}
static nshm_topic_window kept; /* what we pin: the last value before */
static void be_the_victim(const scenario *s) {
    nshm_topic_window w;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL)) _exit(NOT_TRACED);
    if (s->operate != do_open_and_close) {
        open_topic(&mine, s->operate == do_read || s->operate == do_wait ? NSHM_READONLY : 0);
        if (s->operate == do_pin || s->operate == do_close_with_all) join_topic(&mine, NSHM_PINNER);
        else if (!mine.handle.readonly) join_topic(&mine, NSHM_WRITER);
        if (s->operate == do_close_with_all && (nshm_topic_loan(&mine, &w, 0) || nshm_topic_pin(&mine, 0, NULL, 0, &w, 0))) _exit(BROKEN);
    }
    is_victim = 1;
    raise(SIGSTOP);
    board->result = s->operate();
    board->done = 1;
    raise(SIGSTOP);
    for (;;) pause();
}
static void start_run(const scenario *s) {
    int status;
    memset(board, 0, sizeof *board);
    woke = 0;
    victim = sleeper = 0;
    message = s->framed ? 2000 : 8;
    start = starting(HISTORY, 16, PINS, WRITERS, s->framed ? 2000 : 16);
    make_topic(&t);
    join_topic(&t, NSHM_WRITER);
    for (int i = 0; i < BEFORE; i++)
        if (publish(&t, FIRST + (uint64_t)i)) broken("prepare");
    if (nshm_topic_pin(&t, 0, read_to, sizeof read_to, &kept, 0)) broken("pin");
    if (s->world) {
        pid_t pid = fork_known();
        if (!pid) leave_all_kinds();
        if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status)) broken("the world");
    }
    if (s->sleeper && !s->woken) start_sleeper();
    victim = fork_known();
    if (victim < 0) broken("fork");
    if (!victim) be_the_victim(s);
    if (waitpid(victim, &status, __WALL) < 0 || !WIFSTOPPED(status)) exit(NOT_TRACED);
    if (ptrace(PTRACE_SETOPTIONS, victim, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL)) broken("PTRACE_SETOPTIONS");
}

/* ------------------------------------------------------------------------------------------------ what is left */
/* The victim is dead, so nobody is about to wake anybody, but for the sleeper itself. */
static void check_sleeper(void) {
    double begun = seconds();
    int news = nshm_topic_number(&t) > BEFORE, over = (int)(t.head->latest & 1);
    if (!sleeper) return;
    if (news || over) {
        while (!board->sleeper_done && !nshm_topic_waiting(&t) && seconds() - begun < PATIENCE) sched_yield();
        if (!board->sleeper_done && board->done) violation("LATE: the victim was through, and somebody sleeps though there is a newer value");
        if (!board->sleeper_done) late++;
    }
    if (!board->sleeper_done && over) nshm_topic_end(&t);
    else if (!board->sleeper_done && publish(&t, SURVIVORS)) violation("STUCK: nobody can publish");
    for (begun = seconds(); !board->sleeper_done && seconds() - begun < PATIENCE;) sched_yield();
    if (!board->sleeper_done) violation("LOST: somebody sleeps though there is a newer value");
    else if (board->sleeper_result != (over ? -EPIPE : 0)) violation("ERR: the sleeper got %s", strerror(-board->sleeper_result));
}
static void check_values(const scenario *s) {
    nshm_topic_window w;
    uint64_t latest = nshm_topic_number(&t), oldest = latest - HISTORY + 1, n;
    int own = 0, r;
    for (uint64_t number = oldest; number <= latest; number++) {
        if ((r = nshm_topic_next(&t, number - 1, read_to, sizeof read_to, &w, 0)) || w.number != number || w.missed)
            violation("LOST: value %lu of %lu: %s, number %lu", number, latest, strerror(-r), w.number);
        else if (!whole(read_to, w.length, &n)) violation("TORN: value %lu, %lu bytes", number, w.length);
        else if (n == OWN) own++;
        else if (n != SURVIVORS && n != FIRST + number - 1) violation("GHOST: value %lu says %lu", number, n);
    }
    if (own > s->publishes || (board->done && !s->woken && own != s->publishes)) violation("LOST: it published %d, %d are there", s->publishes, own);
    if (board->published && own != s->publishes) violation("LOST: it had published");
    if (s->framed && (!whole(kept.data, kept.length, &n) || n != FIRST + BEFORE - 1)) violation("TORN: what was pinned");
}
static void end_run(const scenario *s) {
    int done = board->done;
    end_process(&victim);
    if (s->woken && !woke && !done) wake_one(); /* it was killed before it slept */
    if (done && board->result) violation("ERR: the operation: %d", board->result);
    if (!sleeper) check_values(s);
    check_sleeper();
    if (!(t.head->latest & 1)) {
        uint64_t number = nshm_topic_number(&t), n;
        nshm_topic_window w;
        for (uint64_t i = 1; i <= HISTORY + 2; i++) {
            if (publish(&t, SURVIVORS) || nshm_topic_latest(&t, 0, read_to, sizeof read_to, &w, 0) || w.number != number + i ||
                !whole(read_to, w.length, &n) || n != SURVIVORS)
                violation("STUCK: nobody can publish and read");
        }
        if (s->framed && !whole(kept.data, kept.length, &n)) violation("TORN: what was pinned, later");
    }
    end_process(&sleeper);
    if (nshm_topic_release(&t, &kept)) violation("ERR: release");
    if (nshm__topic_sweep(&t) < 0) violation("ERR: sweep");
    if (left_over(&t) || unnamed(&t)) violation("LEAKED: %d frames, pins or places are somebody's, %d frames nobody's", left_over(&t), unnamed(&t));
    nshm_topic_close(&t);
    leftovers left = find_leftovers(NSHM_REGISTRY_SIZE, NSHM_REGISTRY_SPAN);
    if (left.strays || left.resident || left.keyed > 1) violation("LEAKED: %d segments, %d with the key", left.strays, left.keyed);
    runs++;
}

int main(int argc, char **argv) {
    const scenario *s = NULL;
    int list = argc > 1 && !strcmp(argv[1], "list"), stride = argc > 2 ? atoi(argv[2]) : 1, total = 0, calls = 0, seen_calls = 0;
    for (int i = 0; i < SCENES; i++) {
        if (list) puts(scenarios[i].name);
        if (argc > 1 && !strcmp(argv[1], scenarios[i].name)) s = &scenarios[i];
    }
    if (list) return 0;
    if (!s || stride < 1) return fprintf(stderr, "usage: step SCENARIO [STRIDE]\n"), BROKEN;
    enter_own_world();
    running = s->name;
    board = shared_memory(sizeof *board);
    begin_scope("step");
    nshm__tid();
    double begun = seconds();
    start_run(s);
    unsigned char *is_call = NULL;
    for (int inside = 0, r; (r = advance(&inside, s)) >= 0; total++) {
        if (!(is_call = realloc(is_call, (size_t)total + 1))) broken("memory");
        is_call[total] = (unsigned char)r;
        calls += r;
    }
    where = total;
    end_run(s);
    for (int at = 0; at < total && !violations; at++) {
        if (is_call[at] ? seen_calls++ % (1 + calls / 50) : at % stride) continue;
        where = at;
        start_run(s);
        for (int inside = 0, i = 0; i < at; i++)
            if (advance(&inside, s) < 0) break; /* it came through another way this time */
        end_run(s);
    }
    printf("stops=%d calls=%d runs=%ld late=%ld seconds=%.1f\n", total, calls, runs, late, seconds() - begun);
    return violations ? CAUGHT : 0;
}
