/* step.c - kill a process at every instruction and every system call of one operation on a queue, and see who is the worse for it.
 *
 *   step SCENARIO STRIDE    SIGKILL at every system call's entry and exit and at every STRIDE-th instruction
 *   step list               the scenarios
 *
 * The victim is traced.  A first run counts its stops (single steps, entries and exits of system calls); each further run makes
 * a new queue, leads a new victim to one stop and kills it there.  Another process sleeps meanwhile: for a message, for room or for a chunk.
 *
 * After each kill: nobody sleeps though there is what he waits for; others can put and take at once; what was put before is there but
 * what the victim had taken (with acknowledgement: all of it), once and in order; of the victim's messages the first ones are there, never
 * fewer than when it was killed earlier; and when the dead were looked for, no chunk and no entry is anybody's.
 *
 * Nobody looks again by himself: naps last an hour.  Except where the victim is one of two who sleep: within some sixty instructions
 * after its wake-up it may take that with it (see "Kills" in namedshm_queue.h), and the other looks after NAP.
 */
#include "../crash/tracing.h"

static int64_t nap = 3600000000000LL; /* nanoseconds */
#define NSHM_QUEUE_NAP nap
#include "queues.h"

#ifndef PATIENCE
#define PATIENCE 4 /* seconds; what is due takes microseconds */
#endif
enum { NAP = 200000000, MOST = 16, FIRST = 100, OWN = 7, SURVIVORS = 2, WAKER = 1, SLEEPERS = 5 }; /* numbers of messages, but for two */

static struct blackboard {
    _Atomic int done, result;
    _Atomic int sleeper_ready, sleeper_go, sleeper_done, sleeper_result;
    _Atomic uint64_t sleeper_got;
    _Atomic int64_t sleeper_at;
} *board;
static nshm_queue q; /* ours: of who looks after the victim */
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
    fprintf(stderr, "\n    put %x %lu get %x %lu pool %x\n", q.head->put.lock, q.head->put.cursor, q.head->get.lock, q.head->get.cursor,
            q.head->pool.lock);
}

/* ------------------------------------------------------------------------------------------------ operations */
static int put_number(nshm_queue *to, uint64_t n, int64_t deadline) {
    memcpy(filled, &n, sizeof n);
    return nshm_queue_put(to, filled, message, deadline);
}
static int64_t take_number(nshm_queue *from, int64_t deadline) { /* taken and released; or an error */
    nshm_queue_window w;
    char buffer[64];
    uint64_t n;
    int r = nshm_queue_take(from, buffer, sizeof buffer, &w, deadline);
    if (r) return r;
    memcpy(&n, w.data, sizeof n);
    if (w.length != message) violation("TORN: %lu bytes", w.length);
    if ((r = nshm_queue_release(from, &w))) return r;
    return (int64_t)n;
}
static nshm_queue mine; /* the victim's */
static int do_put(void) { return put_number(&mine, OWN, 0); }
static int do_put_many(void) {
    uint64_t numbers[3] = {OWN, OWN + 1, OWN + 2}, lengths[3] = {8, 8, 8};
    const void *from[3] = {numbers, numbers + 1, numbers + 2};
    int r = nshm_queue_put_many(&mine, from, lengths, 3, 0);
    return r == 3 ? 0 : r;
}
static int do_loan(int commit) {
    nshm_queue_window w;
    uint64_t n = OWN;
    int r = nshm_queue_loan(&mine, &w, 0);
    if (r) return r;
    memcpy(w.data, &n, sizeof n);
    return commit ? nshm_queue_commit(&mine, &w, message, 0) : nshm_queue_abandon(&mine, &w);
}
static int do_commit(void) { return do_loan(1); }
static int do_abandon(void) { return do_loan(0); }
static int do_take(void) { return take_number(&mine, 0) < 0; }
static int do_take_many(void) {
    nshm_queue_window w[3];
    char buffer[64];
    int r = nshm_queue_take_many(&mine, buffer, sizeof buffer, w, 3, 0);
    for (int k = 0; k < r; k++) nshm_queue_release(&mine, &w[k]);
    return r == 3 ? 0 : r;
}
static int do_return(void) {
    nshm_queue_window w;
    int r = nshm_queue_take(&mine, NULL, 0, &w, 0);
    return r ? r : nshm_queue_return(&mine, &w);
}
static int do_settle(void) { /* done with before it is given back */
    nshm_queue_window w;
    int r = nshm_queue_take(&mine, NULL, 0, &w, 0);
    if (!r) r = nshm_queue_acknowledge(&mine, &w);
    return r ? r : nshm_queue_abandon(&mine, &w);
}
static int do_open_and_close(void) {
    int r = nshm_queue_open(&scope, QUEUE_NAME, 0, &mine);
    if (!r) r = nshm_queue_join(&mine, NSHM_PRODUCER);
    if (!r) nshm_queue_close(&mine);
    return r;
}
static int do_sweep(void) { return nshm__queue_sweep(&mine, NULL) < 0; }
static int do_adopt(void) {
    mine.swept = 0;
    return take_number(&mine, 0) != FIRST;
}
static int do_shut_down(void) { return nshm_queue_shut_down(&mine, NSHM_QUEUE_STOP); }
static int do_wait(void) { return take_number(&mine, INT64_MAX) < 0; }
static int do_wait_for_room(void) { return put_number(&mine, OWN, INT64_MAX); }

/* Somebody who died with a loan, a message taken (the first) and one in the ring (the second). */
static void leave_all_kinds(void) {
    nshm_queue_window w;
    nshm_queue dying;
    open_queue(&dying, NSHM_PRODUCER | NSHM_CONSUMER);
    if (nshm_queue_loan(&dying, &w, 0) || put_number(&dying, FIRST, 0) || nshm_queue_take(&dying, NULL, 0, &w, 0) || put_number(&dying, FIRST + 1, 0))
        _exit(BROKEN);
    kill(getpid(), SIGKILL);
}

enum { NOBODY, TAKER, PUTTER, BORROWER };
enum { ACK = NSHM_QUEUE_ACK, DROP = NSHM_QUEUE_DROP_OLDEST };
typedef struct {
    const char *name;
    int (*operate)(void);
    uint32_t capacity, chunks, mode; /* messages are 8 bytes, in slots of 16; with chunks, 2,000 */
    int before;                      /* messages there, FIRST and on */
    int puts, takes;                 /* what the victim does to the queue; takes: without coming again */
    int sleeper;                     /* what another does who sleeps */
    void (*world)(void);             /* by a process that dies, before everything, instead of `before` */
    int woken;                       /* the victim sleeps, a second sleeper comes behind it, then we wake one */
} scenario;
static const scenario scenarios[] = {
    {"put", do_put, 4, 0, 0, 0, 1, 0, NOBODY, NULL, 0},
    {"put_to_a_sleeper", do_put, 4, 0, 0, 0, 1, 0, TAKER, NULL, 0},
    {"put_many", do_put_many, 8, 0, 0, 0, 3, 0, NOBODY, NULL, 0},
    {"put_many_to_a_sleeper", do_put_many, 8, 0, 0, 0, 3, 0, TAKER, NULL, 0},
    {"put_in_a_chunk", do_put, 4, 3, 0, 1, 1, 0, NOBODY, NULL, 0},
    {"put_in_a_chunk_to_a_sleeper", do_put, 4, 3, 0, 0, 1, 0, TAKER, NULL, 0},
    {"put_over_the_oldest", do_put, 4, 5, DROP, 4, 1, 1, NOBODY, NULL, 0},
    {"loan_and_commit", do_commit, 4, 3, 0, 0, 1, 0, TAKER, NULL, 0},
    {"loan_and_abandon", do_abandon, 4, 3, 0, 1, 0, 0, NOBODY, NULL, 0},
    {"take", do_take, 4, 0, 0, 3, 0, 1, NOBODY, NULL, 0},
    {"take_from_a_full_queue", do_take, 4, 0, 0, 4, 0, 1, PUTTER, NULL, 0},
    {"take_many", do_take_many, 4, 0, 0, 4, 0, 3, PUTTER, NULL, 0},
    {"take_and_release", do_take, 4, 3, 0, 2, 0, 1, NOBODY, NULL, 0},
    {"take_and_release_the_last_chunk", do_take, 4, 3, 0, 3, 0, 1, BORROWER, NULL, 0},
    {"take_many_chunks", do_take_many, 4, 5, 0, 4, 0, 3, NOBODY, NULL, 0},
    {"take_and_acknowledge", do_take, 4, 3, ACK, 2, 0, 1, NOBODY, NULL, 0},
    {"take_acknowledge_and_abandon", do_settle, 4, 3, ACK, 2, 0, 1, NOBODY, NULL, 0},
    {"take_and_return", do_return, 4, 3, ACK, 2, 0, 0, NOBODY, NULL, 0},
    {"open_and_close", do_open_and_close, 4, 3, 0, 1, 0, 0, NOBODY, NULL, 0},
    {"sweep", do_sweep, 4, 4, 0, 2, 0, 1, NOBODY, leave_all_kinds, 0},
    {"take_what_the_dead_had", do_adopt, 4, 4, ACK, 2, 0, 1, NOBODY, leave_all_kinds, 0},
    {"shut_down", do_shut_down, 4, 0, 0, 0, 0, 0, TAKER, NULL, 0},
    {"be_woken", do_wait, 4, 0, 0, 0, 0, 0, TAKER, NULL, 1},
    {"be_woken_by_room", do_wait_for_room, 4, 0, 0, 4, 1, 0, PUTTER, NULL, 1},
};
enum { SCENES = sizeof scenarios / sizeof *scenarios };

/* ------------------------------------------------------------------------------------------------ processes of a run */
static pid_t victim, sleeper;
static int woke; /* we did our part in waking the victim */

static uint32_t *slept_on(const scenario *s) {
    return s->sleeper == TAKER ? &q.head->put.lock : s->sleeper == PUTTER ? &q.head->get.lock : &q.head->pool.lock;
}
/* How many sleep on the word: as many as can be moved from it to where they are. */
static int asleep(uint32_t *word) { return (int)syscall(SYS_futex, word, FUTEX_REQUEUE, 0, (void *)(intptr_t)INT_MAX, word, 0); }
static void sleep_and_tell(const scenario *s) {
    nshm_queue_window w;
    nshm_queue own;
    int64_t r;
    if (s->woken || s->operate == do_shut_down) nap = NAP; /* who shuts it down and is killed before waking is noticed then */
    open_queue(&own, s->sleeper == TAKER ? NSHM_CONSUMER : NSHM_PRODUCER);
    board->sleeper_ready = 1;
    while (!board->sleeper_go) sched_yield();
    if (s->sleeper == TAKER) r = take_number(&own, INT64_MAX);
    else if (s->sleeper == PUTTER) r = put_number(&own, SLEEPERS, INT64_MAX);
    else if (!(r = nshm_queue_loan(&own, &w, INT64_MAX))) r = nshm_queue_abandon(&own, &w);
    board->sleeper_got = r > 0 ? (uint64_t)r : 0;
    board->sleeper_result = r < 0 ? (int)r : 0;
    board->sleeper_at = nshm_now();
    nshm_queue_close(&own);
    board->sleeper_done = 1;
    _exit(0);
}
static void start_sleeper(const scenario *s) { /* it takes part, which may wake others, before the victim does anything */
    sleeper = fork_known();
    if (sleeper < 0) broken("fork");
    if (!sleeper) sleep_and_tell(s);
    while (!board->sleeper_ready) sched_yield();
}
static void let_it_sleep(const scenario *s) {
    int before = asleep(slept_on(s));
    double begun = seconds();
    board->sleeper_go = 1;
    while (asleep(slept_on(s)) <= before) {
        if (seconds() - begun > PATIENCE) broken("a process does not fall asleep");
        sched_yield();
    }
}
static void wake_one(const scenario *s) { /* the victim sleeps: another behind it, then what they wait for, once */
    if (woke) return;
    woke = 1;
    let_it_sleep(s);
    if (s->sleeper == TAKER ? put_number(&q, WAKER, 0) : take_number(&q, 0) != FIRST) broken("cannot wake");
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
            if (asleep(slept_on(s)) > 0) {
                wake_one(s);
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
static void start_run(const scenario *s) {
    int status;
    memset(board, 0, sizeof *board);
    woke = 0;
    victim = sleeper = 0;
    message = s->chunks ? 2000 : 8;
    start = starting(s->capacity, 16, s->chunks, s->mode, s->chunks ? 2000 : 16);
    make_queue(&q);
    if (nshm_queue_join(&q, NSHM_PRODUCER | NSHM_CONSUMER)) broken("join");
    for (int i = 0; i < s->before && !s->world; i++)
        if (put_number(&q, FIRST + (uint64_t)i, 0)) broken("prepare");
    if (s->world) {
        pid_t pid = fork_known();
        if (!pid) s->world();
        if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status)) broken("the world");
    }
    if (s->sleeper) start_sleeper(s);
    if (s->sleeper && !s->woken) let_it_sleep(s);
    victim = fork_known();
    if (victim < 0) broken("fork");
    if (!victim) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL)) _exit(NOT_TRACED);
        if (s->operate != do_open_and_close) open_queue(&mine, s->puts || s->operate == do_abandon ? NSHM_PRODUCER : NSHM_CONSUMER);
        raise(SIGSTOP);
        board->result = s->operate();
        board->done = 1;
        raise(SIGSTOP);
        for (;;) pause();
    }
    if (waitpid(victim, &status, __WALL) < 0 || !WIFSTOPPED(status)) exit(NOT_TRACED);
    if (ptrace(PTRACE_SETOPTIONS, victim, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL)) broken("PTRACE_SETOPTIONS");
}

/* ------------------------------------------------------------------------------------------------ what is left */
/* Does the sleeper sleep though there is what it waits for?  The victim is dead. */
static int due(const scenario *s) {
    if (!sleeper || board->sleeper_done) return 0;
    if (nshm__queue_shut(&q)) return 1;
    return s->sleeper == TAKER ? !nshm__queue_nothing(&q) : s->sleeper == PUTTER ? !nshm__queue_full(&q) : !nshm__queue_dry(&q);
}
static void check_sleeper(const scenario *s, const char *when) {
    double begun = seconds();
    while (due(s) && seconds() - begun < PATIENCE) sched_yield();
    if (due(s)) violation("LOST: somebody sleeps though there is what he waits for, %s", when);
}
/* Give the sleeper what it waits for, if it did not come yet. */
static void satisfy(const scenario *s, uint64_t *got, int *n) {
    double begun = seconds();
    int64_t taken;
    if (!sleeper) return;
    if (!board->sleeper_done && s->operate == do_shut_down) nshm_queue_shut_down(&q, NSHM_QUEUE_STOP);
    else if (!board->sleeper_done && s->sleeper == TAKER) put_number(&q, SURVIVORS, 0);
    else if (!board->sleeper_done && (taken = take_number(&q, 0)) > 0) got[(*n)++] = (uint64_t)taken;
    if (s->sleeper == BORROWER) nshm__queue_sweep(&q, NULL);
    while (!board->sleeper_done && seconds() - begun < PATIENCE) sched_yield();
    if (!board->sleeper_done) violation("STUCK: the sleeper does not get what it waits for");
    else if (board->sleeper_result != (s->operate == do_shut_down ? -EPIPE : 0)) violation("ERR: the sleeper got %s", strerror(-board->sleeper_result));
    if (board->sleeper_got) got[(*n)++] = board->sleeper_got;
}
/* All that can be taken, to the end of `got`. */
static void drain(const scenario *s, uint64_t *got, int *n) {
    int64_t r;
    for (int again = 0; again < 2; again++) { /* with acknowledgement, what the dead had comes as well */
        q.swept = 0;
        while (*n < MOST && (r = take_number(&q, 0)) >= 0) got[(*n)++] = (uint64_t)r;
        if (*n < MOST && r != -EAGAIN) violation("ERR: take: %s", strerror((int)-r));
        if (!(s->mode & ACK)) break;
    }
}
/* Of the numbers from `first` on, how many there are; they are there once and in order, unless they came again. */
static int among(const uint64_t *got, int n, uint64_t first, int most, int ordered) {
    int seen[MOST] = {0}, count = 0;
    uint64_t last = 0;
    for (int i = 0; i < n; i++) {
        if (got[i] < first || got[i] >= first + (uint64_t)most) continue;
        if (seen[got[i] - first]++) violation("DOUBLE: %lu", got[i]);
        if (ordered && got[i] < last) violation("ORDER: %lu after %lu", got[i], last);
        last = got[i];
        count++;
    }
    return count;
}
static int published, missed; /* when it was killed at an earlier stop */
static void end_run(const scenario *s) {
    uint64_t got[MOST + 1];
    int n = 0, done = board->done;
    int64_t killed;
    killed = nshm_now();
    end_process(&victim);
    if (s->woken && !woke && !done) wake_one(s); /* it was killed before it slept: the other gets it all */
    if (done && board->result) violation("ERR: the operation: %d", board->result);
    check_sleeper(s, "when the victim is dead");
    int was_done = board->sleeper_done;
    if (s->operate != do_shut_down) {
        if (s->sleeper != PUTTER || !was_done) satisfy(s, got, &n);
        else if (board->sleeper_result) violation("ERR: the sleeper got %s", strerror(-board->sleeper_result));
        if (s->woken && was_done && board->sleeper_at - killed > NAP / 2) late++;
        drain(s, got, &n);
        if (put_number(&q, SURVIVORS, 0) || take_number(&q, 0) != SURVIVORS) violation("STUCK: nobody can put and take");
        int there = among(got, n, FIRST, s->before, !(s->mode & ACK)), own = among(got, n, OWN, s->puts, 1);
        int missing = s->before - there - (s->woken && s->sleeper == PUTTER);
        int least = s->world && !(s->mode & ACK) ? 1 : 0, most = s->takes;
        if (missing < least || missing > most) violation("LOST: %d of %d are missing, at most %d", missing, s->before, most);
        if (!s->woken && done && missing != s->takes) violation("DOUBLE: it took %d, and %d are missing", s->takes, missing);
        if (!s->woken && done && own != s->puts) violation("LOST: it put %d, %d are there", s->puts, own);
        int comparable = !s->woken && !(s->mode & ACK) && !done; /* with acknowledgement, the clock is asked: not always by as many instructions */
        if (comparable && where && (own < published || missing < missed)) violation("LOST: fewer than when it was killed earlier");
        if (!done) published = own, missed = missing;
    } else satisfy(s, got, &n);
    end_process(&sleeper);
    for (int i = 0; i < 2; i++)
        if (nshm__queue_sweep(&q, NULL) < 0) violation("ERR: sweep");
    if (left_over(&q)) violation("LEAKED: %d chunks or entries are somebody's", left_over(&q));
    nshm_queue_close(&q);
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
    published = missed = 0;
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
