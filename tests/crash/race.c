/* race.c - many processes make the registry at once: there must be exactly one.
 *
 *   race ROUNDS SEED
 *
 * Eight processes are let go at the same moment.  In turn: there is no registry; its last holder is killed at that moment; there
 * are two sessions; and some of the eight kill themselves on the way.  Who gets through keeps what it found until all are through
 * or dead; then all of a session must have the same registry, and no second one may live.
 */
#include "common.h"

static void race_step(const char *what);
#define NSHM_STEP(what) race_step(what)
#include "namedshm.h"

enum { RUNNERS = 8 };
typedef struct {
    _Atomic int through;
    _Atomic int result; /* of nshm__registry */
    _Atomic int id;     /* of the registry it uses */
} runner;
static struct {
    runner runners[RUNNERS];
    _Atomic long dawdles, selfkills;
} *board;

static nshm_scope scopes[2];
static long violations, agreed, survivors, old_adopted;
static uint32_t kill_odds, dawdle_odds;

static void race_step(const char *what) {
    (void)what;
    if (kill_odds && !below(kill_odds)) {
        atomic_fetch_add(&board->selfkills, 1);
        kill(getpid(), SIGKILL);
    }
    if (dawdle_odds && !below(dawdle_odds)) {
        atomic_fetch_add(&board->dawdles, 1);
        if (below(2)) sched_yield();
        else usleep(below(400)); /* chance, not coordination: let the others overtake */
    }
}
static void __attribute__((format(printf, 1, 2))) violation(const char *format, ...) {
    va_list list;
    if (violations++ >= 5) return;
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
}
static void until_closed(int fd) {
    char byte;
    while (read(fd, &byte, 1) < 0 && errno == EINTR) {}
}

static pid_t start_holder(void) {
    int ready[2];
    if (pipe2(ready, O_CLOEXEC)) broken("pipe");
    pid_t pid = fork_known();
    if (pid < 0) broken("fork");
    if (!pid) {
        nshm_place *place;
        if (nshm_place_of(&scopes[0], 1, &place) || write(ready[1], &place->id, sizeof place->id) < 1) _exit(BROKEN);
        for (;;) pause();
    }
    close(ready[1]);
    if (read(ready[0], &board->runners[0].id, sizeof(int)) != sizeof(int)) broken("no holder");
    close(ready[0]);
    return pid;
}

static void race(int round) {
    pid_t pids[RUNNERS], holder = 0;
    int go[2], end[2], sessions = 1 + (round % 4 == 3), kills = round % 2, old = -1, status;
    memset(board->runners, 0, sizeof board->runners);
    if (round % 3 == 0) {
        holder = start_holder();
        old = board->runners[0].id;
        board->runners[0].id = 0;
    }
    if (pipe2(go, O_CLOEXEC) || pipe2(end, O_CLOEXEC)) broken("pipe");
    for (int i = 0; i < RUNNERS; i++) {
        pids[i] = fork_known();
        if (pids[i] < 0) broken("fork");
        if (pids[i]) continue;
        runner *me = &board->runners[i];
        nshm_scope *scope = &scopes[i % sessions];
        stir((uint64_t)round * RUNNERS + (uint64_t)i);
        close(go[1]);
        close(end[1]);
        until_closed(go[0]);
        kill_odds = kills ? 30 : 0;
        dawdle_odds = 1 + below(6);
        nshm_place *place;
        me->result = nshm_place_of(scope, 1, &place);
        me->id = me->result ? -1 : place->id;
        me->through = 1;
        until_closed(end[0]);
        _exit(0);
    }
    close(go[0]);
    close(end[0]);
    close(go[1]); /* now */
    if (holder) {
        kill(holder, SIGKILL);
        while (waitpid(holder, NULL, 0) < 0 && errno == EINTR) {}
    }
    double start = seconds();
    for (int i = 0; i < RUNNERS; i++)
        while (pids[i] && !board->runners[i].through) {
            if (waitpid(pids[i], &status, WNOHANG) == pids[i]) pids[i] = 0;
            else sched_yield();
            if (seconds() - start > 15) {
                violation("round %d: process %d hangs", round, i);
                break;
            }
        }
    for (int session = 0; session < sessions; session++) {
        int first = -1;
        for (int i = session; i < RUNNERS; i += sessions) {
            if (!pids[i]) continue; /* killed */
            runner *r = &board->runners[i];
            survivors++;
            if (r->result) violation("round %d: process %d got %s", round, i, strerror(-r->result));
            else if (first >= 0 && r->id != first) violation("round %d: two registries, %d and %d", round, first, r->id);
            else agreed++;
            if (r->id == old) old_adopted++;
            first = r->id;
        }
    }
    segment list[64];
    int living = 0, n = own_segments(list, 64), most = sessions;
    for (int i = 0; i < n && i < 64; i++) {
        if (list[i].attached) living++;
        if (!list[i].attached && list[i].resident) violation("round %d: a page is left", round);
    }
    if (living > most) violation("round %d: %d registries live", round, living), show_segments();
    close(end[1]);
    for (int i = 0; i < RUNNERS; i++)
        if (pids[i])
            while (waitpid(pids[i], NULL, 0) < 0 && errno == EINTR) {}
}

int main(int argc, char **argv) {
    int rounds = argc > 1 ? atoi(argv[1]) : 1000, round = 0;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL);
    char session[64];
    double start = seconds();
    snprintf(session, sizeof session, "race-%d-%lx", (int)getpid(), (long)time(NULL));
    enter_own_world();
    stir(seed);
    board = shared_memory(sizeof *board);
    nshm_scope_init(&scopes[0], NSHM_LOCAL, session, -1, 1);
    nshm_scope_init(&scopes[1], NSHM_LOCAL, strcat(session, "-2"), -1, 1);
    while (round < rounds && !violations) race(round++);
    pid_t healer = start_holder(); /* removes what killed makers left */
    kill(healer, SIGKILL);
    while (waitpid(healer, NULL, 0) < 0 && errno == EINTR) {}
    leftovers left = find_leftovers(NSHM_REGISTRY_SIZE, NSHM_REGISTRY_SPAN);
    if (!violations && (left.attached || left.keyed || left.strays || (isolated && left.candidates))) {
        violation("left: attached %d, candidates %d, strays %d", left.attached, left.candidates, left.strays);
        show_segments();
    }
    printf("rounds=%d survivors=%ld agreed=%ld old_adopted=%ld selfkills=%ld dawdles=%ld violations=%ld seconds=%.1f\n", round, survivors,
           agreed, old_adopted, board->selfkills, board->dawdles, violations, seconds() - start);
    return violations ? CAUGHT : 0;
}
