/* storm.c - producers and consumers are killed at random moments and at random steps, 4 by 4 at once; an oracle outside of the queue says
 * what was lost, doubled, reordered, torn, stuck or leaked (oracle.h).
 *
 *   storm ROUNDS SEED SECONDS KIND [ODDS]    KIND: inline, many, chunk, mixed, ack, tiny; ODDS: one self-kill in so many steps
 *
 * A round: some hundred kills of a fresh queue; then producers stop, and consumers take until all producers are gone
 * (NSHM_QUEUE_ENDS).
 */
#include "../crash/common.h"
static void at_step(const char *what);
#define NSHM_STEP(what) at_step(what)
#include "queues.h"
#include "oracle.h"

static uint64_t countdown; /* steps until this process kills itself; 0: never */
static void at_step(const char *what) {
    (void)what;
    if (!countdown || --countdown) return;
    count(SELFKILLS);
    kill(getpid(), SIGKILL);
}

/* ------------------------------------------------------------------------------------------------ a round */
enum { PATIENCE = 8 }; /* seconds */
static pid_t kids[KIDS];
static int odds;

static void start_kid(int i, int mortal) {
    uint64_t salt = random_word();
    uint32_t incarnation = i < PRODUCERS ? ++incarnations : 0;
    if (incarnation >= INCARNATIONS) broken("too many incarnations");
    pid_t pid = fork_known();
    if (pid < 0) broken("fork");
    kids[i] = pid;
    if (pid) return;
    nshm_queue q;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    stir(salt);
    if (mortal) countdown = 1 + below(odds > 0 ? (uint32_t)odds : 8u << below(14));
    open_queue(&q, i < PRODUCERS ? NSHM_PRODUCER : NSHM_CONSUMER);
    if (i < PRODUCERS) produce(&q, incarnation);
    else consume(&q);
    countdown = 0;
    nshm_queue_close(&q);
    _exit(0);
}
/* Bury who has ended: how many.  `again`: they are followed by others. */
static int bury(int again) {
    int status, n = 0;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        for (int i = 0; i < KIDS; i++) {
            if (kids[i] != pid) continue;
            kids[i] = 0;
            n++;
            if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
                count(KILLS);
                dead_consumers += i >= PRODUCERS;
            } else if (status) violation(ERR, "a process ended with %x", status);
            if (again || (i >= PRODUCERS && WIFSIGNALED(status))) start_kid(i, again && below(2));
        }
    return n;
}
static int living(void) {
    int n = 0;
    for (int i = 0; i < KIDS; i++) n += kids[i] != 0;
    return n;
}
static void rage(nshm_queue *q, int kills) {
    uint64_t moved = 0, now;
    double since = seconds();
    for (int dead = 0; dead < kills && !all_violations();) {
        usleep(below(1500));
        int i = (int)below(KIDS);
        if (!below(3) && kids[i]) kill(kids[i], SIGKILL);
        dead += bury(1);
        now = nshm__peek(&q->head->get.cursor, RELAXED);
        if (now != moved) {
            moved = now;
            since = seconds();
        } else if (seconds() - since > PATIENCE) violation(STUCK, "at %lu, %u waiting", now, nshm_queue_count(q));
        if (now > JOURNAL - 100000) return;
    }
}
static void calm_down(nshm_queue *q) {
    double since = seconds();
    world->stop = 1;
    while (living()) {
        bury(0);
        usleep(500);
        if (seconds() - since < PATIENCE) continue;
        violation(STUCK, "%d do not end, %u waiting", living(), nshm_queue_count(q));
        world->over = 1;
        for (int i = 0; i < KIDS; i++)
            if (kids[i]) kill(kids[i], SIGKILL), waitpid(kids[i], NULL, 0), kids[i] = 0;
    }
}
static void play_round(long round) {
    nshm_queue q;
    (void)round;
    world->stop = world->over = 0;
    incarnations = 0;
    dead_consumers = 0;
    make_queue(&q);
    for (int i = 0; i < KIDS; i++) start_kid(i, below(2));
    rage(&q, 60 + (int)below(60));
    calm_down(&q);
    judge(&q);
    for (int i = 0; i < 2; i++)
        if (nshm__queue_sweep(&q, NULL) < 0) violation(ERR, "sweep");
    if (left_over(&q)) violation(LEAKED, "%d chunks or entries", left_over(&q));
    nshm_queue_close(&q);
    leftovers left = find_leftovers(NSHM_REGISTRY_SIZE, NSHM_REGISTRY_SPAN);
    if (left.strays || left.keyed > 1) violation(LEAKED, "%d segments, %d with the key", left.strays, left.keyed);
}

int main(int argc, char **argv) {
    long rounds = argc > 1 ? atol(argv[1]) : 1, round;
    double limit = argc > 3 ? atof(argv[3]) : 60, begun;
    const char *name = argc > 4 ? argv[4] : kinds[0].name;
    odds = argc > 5 ? atoi(argv[5]) : -1;
    for (kind = 0; kind < KINDS && strcmp(kinds[kind].name, name); kind++) {}
    if (kind == KINDS) return fprintf(stderr, "usage: storm ROUNDS SEED SECONDS KIND [ODDS]\n"), BROKEN;
    enter_own_world();
    stir(argc > 2 ? strtoull(argv[2], NULL, 0) : 1);
    world = shared_memory(sizeof *world);
    begin_tally();
    begin_scope("storm");
    start = starting(kinds[kind].capacity, kinds[kind].inline_max, kinds[kind].chunks, kinds[kind].mode | NSHM_QUEUE_ENDS,
                     kinds[kind].large ? kinds[kind].large : kinds[kind].small);
    start.participants = 64;
    begun = seconds();
    for (round = 0; round < rounds && seconds() - begun < limit && !all_violations(); round++) play_round(round);
    printf("rounds=%ld seconds=%.1f", round, seconds() - begun);
    print_tally();
    return all_violations() ? CAUGHT : 0;
}
