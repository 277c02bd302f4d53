/* storm.c - processes and threads over a few mutexes, events and semaphores, killed at any moment, and an exact oracle.
 *
 *   storm ROUNDS SEED SECONDS [ODDS]   one self-kill in so many named steps (default: another one each round; 0 never; -1 default)
 *
 * With NSHM_STORM_SINGLE in the environment nobody waits for several objects: then not one wake-up may be lost, naps or not.
 *
 * Each round: new objects, seven processes of one to three threads.  They acquire (with and without timeouts), wait for any and
 * for all of mixed sets, set, reset and pulse.  Some are killed from outside at any moment, some kill themselves at a named step of
 * the protocol; threads end while they own, processes exit and exec while they own.
 *
 * The oracle lives in memory of its own and raises no false alarm, because of the order in which it is written:
 *   - `inside` (who is in the critical section) is set AFTER acquiring and cleared BEFORE releasing;
 *   - a thread is marked dying BEFORE whatever ends it;
 *   - `window` is set around every call that may take or give an object: who dies with it set may or may not have had it.  All
 *     other deaths are exact.
 *
 * What it can prove:
 *   DOUBLE   two owners at once: of a mutex, of a semaphore of one, of an auto-reset event used as a token
 *   UNTOLD   the last owner died inside, yet the mutex was acquired as if it had been released
 *   MISTOLD  more abandonments were told than threads can have died owning
 *   LOST     a thread sleeps though an object it waits for is signaled and nobody else wants it
 *   STUCK    an object, or the registry's lock, that nobody can have any more
 *   COUNT    a semaphore's count, or a token, appeared or vanished (a wait-all that took a part does that)
 *   TORN     data behind a mutex was changed by two at once
 *   ERR      an error nobody may get here
 */
#include "../crash/common.h"

static void storm_step(const char *what);
#define NSHM_STEP(what) storm_step(what)
#include "namedshm_sync.h"
#include "settled.h"

enum { ACTORS = 40, FIRST = 7, THREADS = 3 };
enum { MUTEX, SEMAPHORE, TOKEN, GATE, BELL };
/* A token is taken by one and given back by the same one: an auto-reset event, or a semaphore of one. */
static const struct {
    const char *name;
    int kind, type, initial, manual, maximum;
} things[] = {
    {"m0", MUTEX, NSHM_MUTEX, 0, 0, 0},
    {"m1", MUTEX, NSHM_MUTEX, 0, 0, 0},
    {"m2", MUTEX, NSHM_MUTEX, 0, 0, 0},
    {"three", SEMAPHORE, NSHM_SEMAPHORE, 3, 0, 3},
    {"one", TOKEN, NSHM_SEMAPHORE, 1, 0, 1},
    {"token", TOKEN, NSHM_EVENT, 1, 0, 0},
    {"gate", GATE, NSHM_EVENT, 0, 1, 0},
    {"bell", BELL, NSHM_EVENT, 0, 0, 0}, /* set by anybody, consumed by anybody: only lost wake-ups can be seen */
};
enum { OBJECTS = sizeof things / sizeof *things };

enum { IDLE, WORKING, BLOCKED, DONE };
typedef struct {
    _Atomic int state;
    _Atomic int dying;
    _Atomic unsigned turn;             /* counts waits */
    _Atomic int set[OBJECTS], size, all; /* what it waits for while BLOCKED */
    _Atomic int window[OBJECTS], held[OBJECTS];
} thread_record;
typedef struct {
    _Atomic int pid, dying, threads;
    _Atomic int deciding; /* how many of its threads may be about to kill it: until then the round is not over */
    thread_record thread[THREADS];
} actor;

enum { DOUBLE, UNTOLD, MISTOLD, LOST, STUCK, COUNT, TORN, ERR, VIOLATIONS };
static const char *violation_name[VIOLATIONS] = {"double", "untold", "mistold", "lost", "stuck", "count", "torn", "err"};
enum { OPS, TAKEN, TIMEOUTS, ANYS, ALLS, ABANDONED, THREAD_ENDS, EXITS, EXECS, KILLS, SELFKILLS, SLEEPERS, COUNTERS };
static const char *counter_name[COUNTERS] = {"ops",         "taken", "timeouts", "anys",  "alls",      "abandoned",
                                             "thread_ends", "exits", "execs",    "kills", "selfkills", "sleepers"};
#include "../crash/tally.h"

typedef struct {
    actor actors[ACTORS];
    _Atomic int over;            /* no new operations, no more kills: everybody gives back what he has */
    _Atomic int inside[OBJECTS]; /* of mutexes and tokens: the thread in the critical section, as 1 + index; 0 nobody */
    long first[OBJECTS], second[OBJECTS]; /* guarded by the mutexes: equal outside of the critical section */
    _Atomic long told_from_windows[OBJECTS];
} oracle;

static oracle *world;
static nshm_scope scope;
static nshm_handle handles[OBJECTS];
static nshm_waitee objects[OBJECTS];
static unsigned self_kill_odds;
static int single; /* no waits for several */
static actor *myself; /* this process; NULL in the first */
static __thread thread_record *me;
static __thread int my_number;
static __thread uint64_t my_dice = 1;

static uint32_t dice(uint32_t limit) {
    my_dice ^= my_dice << 13;
    my_dice ^= my_dice >> 7;
    my_dice ^= my_dice << 17;
    return (uint32_t)((my_dice >> 16) % limit);
}
static thread_record *thread_of(int number) { return &world->actors[(number - 1) / THREADS].thread[(number - 1) % THREADS]; }
static int is_dying(int number) {
    return atomic_load(&thread_of(number)->dying) || atomic_load(&world->actors[(number - 1) / THREADS].dying);
}
static void storm_step(const char *what) {
    (void)what;
    if (!me || !self_kill_odds || dice(self_kill_odds)) return;
    atomic_fetch_add(&myself->deciding, 1);
    if (atomic_load(&world->over)) {
        atomic_fetch_sub(&myself->deciding, 1);
        return;
    }
    count(SELFKILLS);
    atomic_store(&myself->dying, 1);
    kill(getpid(), SIGKILL);
}

/* ------------------------------------------------------------------------------------------------ taking and giving */
static void took(int k, int abandoned) {
    int kind = things[k].kind, before;
    if (abandoned) count(ABANDONED);
    if (kind == MUTEX && me->held[k]) { /* again: recursion */
        if (abandoned) violation(MISTOLD, "%s: abandoned by its living owner", things[k].name);
        me->held[k]++;
        return;
    }
    if (kind == MUTEX || kind == TOKEN) {
        before = atomic_exchange(&world->inside[k], my_number);
        if (before && (kind == TOKEN || !is_dying(before)))
            violation(DOUBLE, "%s: thread %d came in while thread %d was inside", things[k].name, my_number, before);
        else if (before && !abandoned)
            violation(UNTOLD, "%s: thread %d died inside, thread %d was not told", things[k].name, before, my_number);
        else if (!before && abandoned)
            atomic_fetch_add(&world->told_from_windows[k], 1);
        if (kind == MUTEX) {
            if (world->first[k] != world->second[k] && !abandoned) violation(TORN, "%s: half changed", things[k].name);
            world->second[k] = world->first[k];
        }
    }
    if (kind != GATE && kind != BELL) atomic_store(&me->held[k], 1);
}
/* Wait for some objects; nanoseconds: 0 tries, -1 for ever (then the caller holds nothing).  What was got is noted. */
static int take(const int *set, int size, int all, int64_t patience) {
    nshm_wait_context c;
    int k, r;
    memset(&c, 0, sizeof c);
    c.count = size;
    c.all = all;
    c.deadline = patience < 0 ? INT64_MAX : patience ? nshm_now() + patience : 0;
    c.spin = dice(2) ? 0 : 5000;
    for (k = 0; k < size; k++) {
        c.object[k] = objects[set[k]];
        atomic_store(&me->set[k], set[k]);
        atomic_store(&me->window[set[k]], 1);
    }
    me->size = size;
    me->all = all;
    atomic_fetch_add(&me->turn, 1);
    if (patience < 0) atomic_store(&me->state, BLOCKED);
    while ((r = nshm_wait(&c)) == -EINTR) {}
    atomic_store(&me->state, WORKING);
    if (r >= 0) {
        count(TAKEN);
        if (all)
            for (k = 0; k < size; k++) took(set[k], (int)(c.abandoned >> k & 1));
        else took(set[r & ~NSHM_ABANDONED], r & NSHM_ABANDONED);
    } else if (r == -ETIMEDOUT && patience >= 0) count(TIMEOUTS);
    else violation(ERR, "wait for %d objects from %s: %s", size, things[set[0]].name, strerror(-r));
    for (k = 0; k < size; k++) atomic_store(&me->window[set[k]], 0);
    return r;
}
static void give(int k) {
    uint32_t previous;
    int r = 0, mine = my_number;
    atomic_store(&me->window[k], 1);
    if (things[k].kind == MUTEX && me->held[k] > 1) {
        me->held[k]--;
        r = nshm_mutex_release(&objects[k]);
    } else if (me->held[k]) {
        if (things[k].kind != SEMAPHORE && !atomic_compare_exchange_strong(&world->inside[k], &mine, 0))
            violation(DOUBLE, "%s: thread %d is inside of what thread %d has", things[k].name, mine, my_number);
        atomic_store(&me->held[k], 0);
        if (things[k].type == NSHM_MUTEX) r = nshm_mutex_release(&objects[k]);
        else if (things[k].type == NSHM_EVENT) r = settled(&objects[k], nshm_event_set(&objects[k]));
        else r = settled(&objects[k], nshm_semaphore_release(&objects[k], 1, &previous));
    }
    if (r) violation(ERR, "give %s: %s", things[k].name, strerror(-r));
    atomic_store(&me->window[k], 0);
}
static int pulse(int k) { return settled(&objects[k], nshm_event_pulse(&objects[k])); }
static void give_all(void) {
    int start = (int)dice(OBJECTS);
    for (int i = 0; i < OBJECTS; i++)
        while (me->held[(start + i) % OBJECTS]) give((start + i) % OBJECTS);
}
static int holds_only_mutexes(void) {
    int mutexes = 0;
    for (int k = 0; k < OBJECTS; k++) {
        if (me->held[k] && things[k].kind != MUTEX) return 0;
        mutexes += me->held[k] > 0;
    }
    return mutexes;
}
static void use(void) { /* what we hold */
    for (int k = 0; k < OBJECTS; k++)
        if (me->held[k] && things[k].kind == MUTEX) {
            world->first[k]++;
            if (dice(4) == 0) sched_yield();
            world->second[k]++;
        }
}

/* ------------------------------------------------------------------------------------------------ the ends of threads and processes */
static void __attribute__((noreturn)) end_process_by(int how) {
    atomic_store(&myself->dying, 1);
    if (how == 0) {
        count(EXITS);
        _exit(0);
    }
    count(EXECS);
    execl("/proc/self/exe", "storm", "linger", (char *)NULL); /* goes on under the same pid, and owns nothing */
    _exit(BROKEN);
}

static int choose(int *set, int most, int twice_allowed) {
    int size = 2 + (int)dice((uint32_t)most - 1);
    for (int i = 0; i < size; i++) {
        set[i] = (int)dice(OBJECTS);
        for (int j = 0; j < i && !twice_allowed; j++)
            if (set[j] == set[i]) {
                i--;
                break;
            }
    }
    for (int i = 0; i < size; i++) /* one unit of each: what we hold is not taken again, except mutexes */
        if (me->held[set[i]] && things[set[i]].kind != MUTEX) return 0;
    return size;
}
static int64_t some_patience(void) {
    int holding = 0;
    for (int k = 0; k < OBJECTS; k++) holding |= me->held[k];
    uint32_t x = dice(10);
    if (x < 3) return 0;
    if (x < 6 || holding) return (int64_t)dice(2000000) + 1000;
    return -1;
}
static void operate(void) {
    int set[OBJECTS], size, k = (int)dice(OBJECTS), r = 0;
    uint32_t what = dice(100);
    count(OPS);
    if (single && what >= 45 && what < 75) what = 0;
    if (what < 45) {
        if (me->held[k] && (things[k].kind != MUTEX || dice(3))) give(k);
        else take(&k, 1, 0, some_patience());
    } else if (what < 60) {
        if ((size = choose(set, 4, 0))) count(ANYS), take(set, size, 0, some_patience());
    } else if (what < 75) {
        if ((size = choose(set, 3, 0))) count(ALLS), take(set, size, 1, some_patience());
    } else if (what < 79) r = settled(&objects[6], nshm_event_set(&objects[6]));
    else if (what < 82) r = settled(&objects[6], nshm_event_reset(&objects[6]));
    else if (what < 84) r = pulse(dice(2) ? 6 : 7);
    else if (what < 89) r = settled(&objects[7], nshm_event_set(&objects[7]));
    else if (what < 99) give_all();
    else if (holds_only_mutexes() && !atomic_load(&world->over)) {
        /* Not exec by another thread than the first: the kernel renames it before it looks at its robust list, and finds nothing. */
        if (dice(3) == 0) end_process_by(me == &myself->thread[0] && dice(2));
        count(THREAD_ENDS);
        atomic_store(&me->dying, 1);
        atomic_store(&me->state, DONE);
        if (me != &myself->thread[0]) pthread_exit(NULL);
        syscall(SYS_exit, 0); /* the first thread ends alone: the process lives as long as another one does */
    }
    if (r) violation(ERR, "an event: %s", strerror(-r));
    use();
}
static void *run_thread(void *argument) {
    int number = (int)(intptr_t)argument;
    my_number = number;
    my_dice = (uint64_t)number * 0x9e3779b97f4a7c15ULL ^ (uint64_t)getpid() << 20 ^ random_state;
    for (int i = 0; i < 8; i++) dice(2);
    me = thread_of(number);
    atomic_store(&me->state, WORKING);
    while (!atomic_load(&world->over)) operate();
    give_all();
    atomic_store(&me->state, DONE);
    return NULL;
}
static void __attribute__((noreturn)) run_actor(int id) {
    pthread_t thread[THREADS];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    myself = &world->actors[id];
    for (int k = 0; k < OBJECTS; k++) { /* handles of its own */
        int r = nshm_open(&scope, (uint16_t)things[k].type, things[k].name, strlen(things[k].name), 0, &handles[k]);
        if (r) violation(ERR, "open %s: %s", things[k].name, strerror(-r));
        if (r) _exit(0);
        if (nshm_sync_waitee(&handles[k], (uint32_t)things[k].type, &objects[k])) violation(ERR, "%s: another type", things[k].name);
    }
    atomic_store(&myself->pid, getpid()); /* from here on it can be killed */
    int threads = myself->threads;
    for (int i = 1; i < threads; i++)
        if (pthread_create(&thread[i], NULL, run_thread, (void *)(intptr_t)(id * THREADS + i + 1))) broken("pthread_create");
    run_thread((void *)(intptr_t)(id * THREADS + 1));
    me = NULL;
    for (int i = 1; i < threads; i++) pthread_join(thread[i], NULL);
    _exit(0);
}

/* ------------------------------------------------------------------------------------------------ the first process */
static pid_t pids[ACTORS]; /* not reaped yet */
static int actors;
static long window_deaths[OBJECTS], definite_losses;

static void start_actor(void) {
    actor *a = &world->actors[actors];
    a->threads = 1 + (int)below(THREADS);
    random_word();
    pid_t pid = fork_known();
    if (pid < 0) broken("fork");
    if (!pid) run_actor(actors);
    pids[actors++] = pid;
}
/* What the dead had is given back, where it is known that they had it. */
static void collect(int id) {
    uint32_t previous;
    for (int t = 0; t < THREADS; t++) {
        thread_record *dead = &world->actors[id].thread[t];
        int number = id * THREADS + t + 1, r = 0;
        atomic_store(&dead->state, DONE);
        for (int k = 0; k < OBJECTS; k++) {
            int inside = number;
            if (things[k].kind == TOKEN && atomic_compare_exchange_strong(&world->inside[k], &inside, 0)) {
                r = things[k].type == NSHM_EVENT ? settled(&objects[k], nshm_event_set(&objects[k])) : settled(&objects[k], nshm_semaphore_release(&objects[k], 1, &previous));
                definite_losses++;
            } else if (atomic_load(&dead->window[k]) && !(things[k].kind == MUTEX && atomic_load(&world->inside[k]) == number)) {
                window_deaths[k]++;
            } else if (things[k].kind == SEMAPHORE && atomic_load(&dead->held[k])) {
                r = settled(&objects[k], nshm_semaphore_release(&objects[k], 1, &previous));
                definite_losses++;
            }
            if (r) violation(ERR, "restore %s: %s", things[k].name, strerror(-r));
        }
    }
}
static int reap(void) { /* how many are left */
    int left = 0, status;
    for (int i = 0; i < actors; i++) {
        if (!pids[i]) continue;
        if (waitpid(pids[i], &status, WNOHANG) != pids[i]) {
            left++;
            continue;
        }
        pids[i] = 0;
        if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL) violation(ERR, "actor %d died of signal %d", i, WTERMSIG(status));
        if (WIFEXITED(status) && WEXITSTATUS(status)) broken("actor %d ended with %d", i, WEXITSTATUS(status));
        collect(i);
    }
    return left;
}
static void kill_actor(int id) {
    if (!pids[id] || !atomic_load(&world->actors[id].pid)) return;
    atomic_store(&world->actors[id].dying, 1);
    kill(pids[id], SIGKILL);
    count(KILLS);
}
static void kill_lingering(void) { /* who went on by exec */
    for (int i = 0; i < actors; i++)
        if (pids[i] && atomic_load(&world->actors[i].dying)) kill(pids[i], SIGKILL);
}

/* Everybody is done or sleeps, and nobody has anything: who sleeps though what he waits for is there? */
static int should_go_on(const thread_record *t) {
    int there = 0, size = t->size;
    for (int i = 0; i < size; i++) there += things[t->set[i]].kind == MUTEX || nshm__signaled(&objects[t->set[i]]);
    return t->all ? there == size : there > 0;
}
static void show_objects(void) {
    for (int i = 0; i < actors * THREADS; i++) {
        thread_record *t = &world->actors[i / THREADS].thread[i % THREADS];
        int holds = 0;
        for (int k = 0; k < OBJECTS; k++) holds |= things[k].kind != GATE && world->inside[k] == i + 1;
        if (!holds && (!pids[i / THREADS] || t->state == DONE || i % THREADS >= world->actors[i / THREADS].threads)) continue;
        fprintf(stderr, "    thread %d of process %d%s: state %d%s, %s of", i + 1, world->actors[i / THREADS].pid, pids[i / THREADS] ? "" : " (ended)",
                t->state, is_dying(i + 1) ? " dying" : "", t->all ? "all" : "one");
        for (int k = 0; k < t->size; k++) fprintf(stderr, " %s%s", things[t->set[k]].name, t->window[t->set[k]] ? "*" : "");
        fprintf(stderr, "; has");
        for (int k = 0; k < OBJECTS; k++)
            if (t->held[k]) fprintf(stderr, " %s(%d)", things[k].name, t->held[k]);
        fprintf(stderr, "\n");
    }
    for (int k = 0; k < OBJECTS; k++)
        fprintf(stderr, "    %s: state %x waiters %u pulse %x inside %d\n", things[k].name, objects[k].words->state, objects[k].words->waiters,
                objects[k].words->pulse, world->inside[k]);
}
enum { PATIENCE = 4 }; /* seconds; what is due takes microseconds */
static void settle_down(void) {
    double start = seconds();
    atomic_store(&world->over, 1);
    for (int quiet = 0; quiet < 3;) {
        int busy = 0, late = 0;
        kill_lingering();
        reap();
        for (int i = 0; i < actors && !busy; i++)
            for (int t = 0; pids[i] && t < world->actors[i].threads; t++) {
                const thread_record *r = &world->actors[i].thread[t];
                int state = atomic_load(&r->state);
                if (atomic_load(&world->actors[i].dying) || atomic_load(&world->actors[i].deciding)) busy = 1;
                else if (state == BLOCKED && should_go_on(r)) late = i * THREADS + t + 1;
                else if (state == IDLE || state == WORKING) busy = 1;
            }
        quiet = busy || late ? 0 : quiet + 1;
        if (seconds() - start > PATIENCE) {
            if (late) {
                const thread_record *r = thread_of(late);
                violation(LOST, "thread %d of process %d waits for %s of %d objects (%s, ...)", late, pids[(late - 1) / THREADS], r->all ? "all" : "one",
                          r->size, things[r->set[0]].name);
            } else violation(STUCK, "somebody does not come to his end");
            show_objects();
            return;
        }
        if (busy || late) usleep(50);
    }
    for (int i = 0; i < actors; i++)
        for (int t = 0; pids[i] && t < world->actors[i].threads; t++)
            if (atomic_load(&world->actors[i].thread[t].state) == BLOCKED) count(SLEEPERS);
}
static int have_now(int k, int64_t patience) {
    nshm_wait_context c;
    memset(&c, 0, sizeof c);
    c.count = 1;
    c.deadline = patience ? nshm_now() + patience : 0;
    c.object[0] = objects[k];
    return nshm_wait(&c);
}
/* Nobody has anything but us; some may sleep.  `exact`: nobody was killed since we put everything back. */
static void take_stock(int exact) {
    uint32_t previous;
    for (int k = 0; k < OBJECTS; k++) {
        long had = 0, deaths = exact ? 0 : window_deaths[k];
        int r, inside = atomic_load(&world->inside[k]);
        if (things[k].kind == MUTEX) {
            r = have_now(k, PATIENCE * 1000000000LL);
            if (r < 0) violation(STUCK, "%s: %s though nobody has it", things[k].name, strerror(-r));
            if (r < 0) continue;
            if (inside && r != NSHM_ABANDONED) violation(UNTOLD, "%s: thread %d died inside, the last one was not told", things[k].name, inside);
            if (!inside && r == NSHM_ABANDONED) atomic_fetch_add(&world->told_from_windows[k], 1);
            if (world->told_from_windows[k] > window_deaths[k])
                violation(MISTOLD, "%s: %ld unexplained abandonments, %ld deaths", things[k].name, (long)world->told_from_windows[k], window_deaths[k]);
            atomic_store(&world->inside[k], 0);
            world->second[k] = world->first[k];
            if ((r = nshm_mutex_release(&objects[k]))) violation(ERR, "release: %s", strerror(-r));
        } else if (things[k].kind == SEMAPHORE || things[k].kind == TOKEN) {
            while ((r = have_now(k, 0)) == 0 && had <= things[k].initial) had++;
            if (r < 0 && r != -ETIMEDOUT) violation(ERR, "%s: %s", things[k].name, strerror(-r));
            if (had > things[k].initial || had < things[k].initial - deaths)
                violation(COUNT, "%s: %ld are left of %d, %ld died while they took or gave", things[k].name, had, things[k].initial, deaths);
        }
    }
    for (int k = 0; k < OBJECTS; k++) { /* not before all was counted: a sleeper may take what is put back */
        if (things[k].kind != SEMAPHORE && things[k].kind != TOKEN) continue;
        if (things[k].type == NSHM_EVENT) settled(&objects[k], nshm_event_set(&objects[k]));
        else settled(&objects[k], nshm_semaphore_release(&objects[k], (uint32_t)things[k].initial, &previous));
    }
}
/* Everything is back: with the gate open and the bell ringing, each sleeper gets what it waits for in the end. */
static void wake_everybody(void) {
    double start = seconds();
    settled(&objects[6], nshm_event_set(&objects[6]));
    while (reap()) {
        kill_lingering();
        if (!nshm__signaled(&objects[7])) settled(&objects[7], nshm_event_set(&objects[7]));
        if (seconds() - start > PATIENCE) {
            violation(STUCK, "everything is there, somebody sleeps on");
            show_objects();
            return;
        }
        usleep(50);
    }
}
/* In a process of its own: is the registry's lock to be had? */
static void check_lock(void) {
    int status = 0;
    pid_t pid = fork_known();
    if (!pid) {
        nshm_handle h;
        alarm(PATIENCE);
        _exit(nshm_create(&scope, NSHM_SECTION, "probe", 5, 100, 0600, -1, 0, 0, 0, NULL, NULL, &h) ? 1 : 0);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    if (status) violation(STUCK, "nobody can create: the registry's lock was not given up");
}
static void run_round(int odds) {
    static const unsigned moods[] = {0, 300, 2000, 60};
    memset(world->actors, 0, sizeof world->actors);
    memset(window_deaths, 0, sizeof window_deaths);
    for (int k = 0; k < OBJECTS; k++) {
        nshm_sync_start start = {(uint32_t)things[k].type, (uint32_t)things[k].manual, (uint32_t)things[k].maximum, (uint32_t)things[k].initial};
        int r = nshm_create(&scope, (uint16_t)things[k].type, things[k].name, strlen(things[k].name), 4096, 0600, -1, 0, NSHM_EXCLUSIVE, 0,
                            nshm_sync_fill, &start, &handles[k]);
        if (r) broken("create %s: %s", things[k].name, strerror(-r));
        if (nshm_sync_waitee(&handles[k], (uint32_t)things[k].type, &objects[k])) violation(ERR, "%s: another type", things[k].name);
        world->inside[k] = 0;
        world->first[k] = world->second[k] = world->told_from_windows[k] = 0;
    }
    actors = 0;
    atomic_store(&world->over, 0);
    self_kill_odds = odds >= 0 ? (unsigned)odds : moods[below(4)];
    for (int i = 0; i < FIRST; i++) start_actor();
    for (uint32_t blows = 1 + below(8); blows--;) {
        usleep(below(4000));
        kill_actor((int)below((uint32_t)actors));
        kill_lingering();
        for (int left = reap(); left < FIRST && actors < ACTORS; left++) start_actor();
    }
    settle_down();
    if (!all_violations()) take_stock(0);
    if (!all_violations()) wake_everybody();
    if (!all_violations()) take_stock(1);
    if (below(8) == 0) check_lock();
    for (int i = 0; i < actors; i++) atomic_store(&world->actors[i].dying, 1); /* after a violation: the others are still there */
    for (int i = 0; i < actors; i++)
        if (pids[i]) kill(pids[i], SIGKILL), waitpid(pids[i], NULL, 0), pids[i] = 0;
    for (int k = 0; k < OBJECTS; k++) nshm_close(&handles[k], 0);
}

static void report(int rounds, double since) {
    printf("rounds=%d seconds=%.1f isolated=%d exact_losses=%ld", rounds, seconds() - since, isolated, definite_losses);
    print_tally();
}

int main(int argc, char **argv) {
    if (argc == 2 && !strcmp(argv[1], "linger"))
        for (;;) pause();
    int rounds = argc > 1 ? atoi(argv[1]) : 300, odds = argc > 4 ? atoi(argv[4]) : -1;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL);
    double limit = argc > 3 ? atof(argv[3]) : 1e9; /* seconds */
    char session[64];
    snprintf(session, sizeof session, "storm-%d-%lx", (int)getpid(), (long)time(NULL));
    single = getenv("NSHM_STORM_SINGLE") != NULL;
    enter_own_world();
    stir(seed);
    world = shared_memory(sizeof *world);
    begin_tally();
    nshm_scope_init(&scope, NSHM_LOCAL, session, -1, 1);
    double since = seconds(), reported = since;
    int round = 0;
    /* a violation ends the storm: later ones may be its echo */
    while (round < rounds && seconds() - since < limit && !all_violations()) {
        run_round(odds);
        round++;
        if (seconds() - reported > 60) report(round, since), reported = seconds();
    }
    if (all_violations()) fprintf(stderr, "in round %d of seed %lu\n", round, (unsigned long)seed);
    report(round, since);
    leftovers left = find_leftovers(NSHM_REGISTRY_SIZE, NSHM_REGISTRY_SPAN);
    if (left.strays || left.resident) return fprintf(stderr, "segments are left behind\n"), CAUGHT;
    return all_violations() ? CAUGHT : 0;
}
