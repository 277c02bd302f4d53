/* turns.c - wake-ups under kills, by turns: random traffic heals a wake-up that was lost, so here there is little, and it ends.
 *
 *   turns TRIALS SEED [chunk | loops]
 *
 * A trial: three consumers and two producers on a queue of two messages, blocking for ever.  One of them is killed, at a random step or
 * moment; nobody follows it.  Whatever can move has to move: nobody looks by himself for an hour.
 *
 * "loops": two of the consumers wait as event loops do (queue_watch.h).  Their waits are cancelled now and then, just when they were woken
 * too, and some do not come back.
 *
 * What is known to be left to a nap (see "Kills" in namedshm_queue.h) is told apart by where the victim was: it had slept or armed a word in that
 * call, and then had its own end's lock pending, or was between arming and sleeping, or was passing on.  Else:
 *   LATE     somebody sleeps though there is what he waits for
 *   ERR      an operation says something it should not
 */
#include "../crash/common.h"
static void at_step(const char *what);
#define NSHM_STEP(what) at_step(what)
#define NSHM_QUEUE_NAP 3600000000000LL
#define NSHM_NAP NSHM_QUEUE_NAP
#include "queues.h"
#include "namedshm_sync.h"

enum { LATE, ERR, VIOLATIONS };
static const char *violation_name[VIOLATIONS] = {"late", "err"};
enum { KILLS, SELFKILLS, KNOWN, TAKEN, CANCELLED, COUNTERS };
static const char *counter_name[COUNTERS] = {"kills", "selfkills", "known", "taken", "cancelled"};
#include "../crash/tally.h"

enum { PRODUCERS = 2, CONSUMERS = 3, KIDS = PRODUCERS + CONSUMERS, LOOPS = 2 };
#ifndef PATIENCE
#define PATIENCE 1.0 /* seconds; what is due takes microseconds */
#endif
static struct {
    _Atomic int ready, done[KIDS], answerable[KIDS];
    _Atomic long moved;
    const char *_Atomic last[KIDS];
} *world;
static int me = -1;
static uint64_t countdown;
static uint32_t message;
static int looping;

static void at_step(const char *what) {
    if (me < 0) return;
    world->last[me] = what;
    if (!strcmp(what, "falling asleep")) world->answerable[me] = 1; /* it has armed the word, or slept, in this call */
    if (!strcmp(what, "passed on")) world->answerable[me] = 0;
    if (!below(8)) usleep(below(200)); /* between any two steps others may come */
    if (!countdown || --countdown) return;
    count(SELFKILLS);
    kill(getpid(), SIGKILL);
}
static void produce(nshm_queue *q) {
    static char bytes[1000];
    const void *from[3] = {bytes, bytes, bytes};
    uint64_t lengths[3] = {message, message, message};
    for (int left = 1 + (int)below(6), r; left > 0; left -= r) {
        r = nshm_queue_put_many(q, from, lengths, left < 3 && below(3) ? left : 1, INT64_MAX);
        if (r <= 0) {
            violation(ERR, "put: %s", strerror(-r));
            break;
        }
        world->moved++;
        if (below(2)) usleep(below(300));
    }
    world->done[me] = 1;
    for (;;) pause();
}
/* As a task of an event loop does, which may be cancelled. */
static int take_as_a_loop(nshm_queue *q, void *buffer, uint64_t room, nshm_queue_window *w) {
    uint32_t control = 0;
    unsigned char none[1];
    nshm_watched word;
    int64_t since;
    int r;
    while ((r = nshm_queue_take(q, buffer, room, w, 0)) == -EAGAIN) {
        world->answerable[me] = 1;
        since = 0;
        nshm_queue_watch(q, NSHM_AWAIT_MESSAGE, &since, &word);
        if ((r = nshm_watch_with(NULL, 0, &control, 0, none, &word, 1))) break;
        if (!word.ready) r = -EPROTO; /* the control word was not changed, and the hour is not over */
        else if (below(3)) continue;
        else r = -ECANCELED;
        break;
    }
    if (world->answerable[me]) nshm_queue_watched(q, NSHM_AWAIT_MESSAGE);
    world->answerable[me] = 0;
    return r;
}
static void consume(nshm_queue *q) {
    nshm_queue_window w;
    char buffer[64];
    for (int r;;) {
        if (looping && me < PRODUCERS + LOOPS) r = take_as_a_loop(q, buffer, sizeof buffer, &w);
        else r = nshm_queue_take(q, buffer, sizeof buffer, &w, INT64_MAX);
        if (r == -ECANCELED) {
            count(CANCELLED);
            if (below(2)) continue;
            world->done[me] = 1;
            for (;;) pause();
        }
        if (r) violation(ERR, "take: %s", strerror(-r));
        world->moved++;
        count(TAKEN);
        if (below(3) == 0) usleep(below(300));
        if (!r && (r = nshm_queue_release(q, &w))) violation(ERR, "release: %s", strerror(-r));
    }
}
static void be(int i, int is_victim, uint64_t salt) {
    nshm_queue q;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    stir(salt);
    open_queue(&q, i < PRODUCERS ? NSHM_PRODUCER : NSHM_CONSUMER);
    world->ready++;
    while (world->ready < KIDS) sched_yield();
    me = i;
    if (is_victim) countdown = 1 + below(below(2) ? 24 : 90);
    if (below(2)) usleep(below(400));
    if (i < PRODUCERS) produce(&q);
    else consume(&q);
}
/* How many sleep on the word: as many as can be moved from it to where they are. */
static int asleep(uint32_t *word) { return (int)syscall(SYS_futex, word, FUTEX_REQUEUE, 0, (void *)(intptr_t)INT_MAX, word, 0); }
/* What is the matter: everybody sleeps who could move, and on what is there; or all sleep, and nothing is there; or somebody is awake,
 * even if the machine does not let him run. */
enum { GOES_ON, RESTS, SLEEPS_ON_IT };
static int matter(nshm_queue *q, int victim, int dead) {
    int consumers = 0, producers = 0;
    for (int i = 0; i < KIDS; i++) *(i < PRODUCERS ? &producers : &consumers) += !(dead && i == victim) && !world->done[i];
    int on_messages = asleep(&q->head->put.lock), on_room = asleep(&q->head->get.lock), on_chunks = asleep(&q->head->pool.lock);
    if (on_messages < consumers || on_room + on_chunks < producers) return GOES_ON;
    if ((consumers && !nshm__queue_empty(q)) || (on_room && !nshm__queue_full(q)) || (on_chunks && !nshm__queue_dry(q))) return SLEEPS_ON_IT;
    return RESTS; /* a dead process's chunk is missed until somebody looks by himself */
}
static int is_known(int victim, int dead) {
    const char *at = world->last[victim];
    return dead && at && world->answerable[victim];
}
static void play(nshm_queue *q, int victim, int how) {
    pid_t kids[KIDS];
    long moved = -1;
    int dead = 0;
    for (int i = 0; i < KIDS; i++) {
        uint64_t salt = random_word();
        if ((kids[i] = fork_known()) < 0) broken("fork");
        if (!kids[i]) be(i, i == victim && how, salt);
    }
    while (world->ready < KIDS) usleep(50);
    if (!how) {
        usleep(below(1500));
        kill(kids[victim], SIGKILL);
    }
    double since = seconds();
    for (;; usleep(100)) {
        if (!dead && waitpid(kids[victim], NULL, WNOHANG) == kids[victim]) {
            dead = 1;
            count(KILLS);
            since = seconds();
        }
        long now = world->moved + (long)nshm__peek(&q->head->put.cursor, RELAXED);
        if (now != moved) {
            moved = now;
            since = seconds();
        }
        int is = matter(q, victim, dead);
        if (is == RESTS) break;
        if (is == GOES_ON || seconds() - since < PATIENCE) continue;
        if (is_known(victim, dead)) count(KNOWN);
        else
            violation(LATE, "victim %c%s at \"%s\", put %x get %x pool %x, %u there", victim < PRODUCERS ? 'P' : 'C', dead ? "" : " (alive)",
                      world->last[victim] ? world->last[victim] : "the beginning", q->head->put.lock, q->head->get.lock, q->head->pool.lock,
                      nshm_queue_count(q));
        break;
    }
    for (int i = 0; i < KIDS; i++) {
        if (i == victim && dead) continue;
        kill(kids[i], SIGKILL);
        waitpid(kids[i], NULL, 0);
    }
}

int main(int argc, char **argv) {
    long trials = argc > 1 ? atol(argv[1]) : 100, trial;
    int chunked = argc > 3 && !strcmp(argv[3], "chunk");
    double begun;
    enter_own_world();
    stir(argc > 2 ? strtoull(argv[2], NULL, 0) : 1);
    world = shared_memory(sizeof *world);
    begin_tally();
    begin_scope("turns");
    looping = argc > 3 && !chunked;
    message = chunked ? 300 : 8;
    start = starting(2, 16, chunked ? 2 : 0, 0, chunked ? 400 : 16);
    begun = seconds();
    for (trial = 0; trial < trials && !all_violations(); trial++) {
        nshm_queue q;
        memset(world, 0, sizeof *world);
        make_queue(&q);
        play(&q, (int)below(KIDS), (int)below(3));
        nshm_queue_close(&q);
    }
    printf("trials=%ld seconds=%.1f", trial, seconds() - begun);
    print_tally();
    return all_violations() ? CAUGHT : 0;
}
