/* storm.c - a random storm over few names, with SIGKILL at random moments, and an exact oracle.
 *
 * Eight processes and their forks create, open, write, close, unmap, list and duplicate; some are killed from outside at any
 * moment, some kill themselves at a named step of the protocol.  At the end of each round everybody is killed.
 *
 * The oracle lives in memory of its own.  It raises no false alarm, because of the order in which it is written:
 *   - a hold is recorded AFTER the handle was acquired and cleared BEFORE it is closed,
 *   - `killed` is set BEFORE the kill,
 *   - a slot is used again only after its process was reaped, so its attachments are gone.
 * A record that was there, unchanged and not killed, before AND after an operation therefore proves that its owner had a
 * handle all the time.
 *
 * What it can prove:
 *   LOST   a name was held throughout, yet open, list or exclusive create did not see the object
 *   DUP    two living objects of one name
 *   WRONG  content, size or access of another object
 *   DIRTY  a new object was not zero
 *   ERR    an error nobody may get here
 *   STUCK  the lock was not given up by the dead
 *   LEFT   after everybody died: a page, more than one keyed segment, anything unexpected, or something not healed
 */
#include "common.h"

static void storm_step(const char *what);
#define NSHM_STEP(what) storm_step(what)
#include "namedshm.h"

enum { NAMES = 6, ACTORS = 48, FIRST = 8, VIEWS = 8 };
enum { FREE = 0, CLAIMED, RUNNING };

typedef struct {
    _Atomic int state;
    _Atomic int killed;
    _Atomic int pid;
    struct {
        _Atomic uint64_t nonce; /* of the object held, 0 = none */
        _Atomic uint64_t turn;  /* counts the changes of nonce, also over re-uses of the slot */
    } hold[NAMES];
} actor;

enum { LOST, DUP, WRONG, DIRTY, ERR, STUCK, LEFT, VIOLATIONS };
static const char *violation_name[VIOLATIONS] = {"lost", "dup", "wrong", "dirty", "err", "stuck", "left"};
enum { OPS, CREATES, OPENS, MISSES, EXISTS, LISTS, FORKS, KILLS, SELFKILLS, EMPTY_LEFT, COUNTERS };
static const char *counter_name[COUNTERS] = {"ops",   "creates", "opens", "misses",    "exists",
                                             "lists", "forks",   "kills", "selfkills", "empty_left"};
#include "tally.h"

typedef struct {
    actor actors[ACTORS];
    _Atomic int over; /* the round ends: what is seen from now on proves nothing */
    _Atomic int churn; /* this round's mood: names come and go, instead of being held by many */
} oracle;

static oracle *world;
static nshm_scope scope;
static unsigned self_kill_odds = 3000; /* one in so many steps; 0 = never */

/* this worker */
static actor *me;
static int my_id;
static nshm_handle handles[NAMES];
static int held[NAMES];
static struct {
    uint64_t *data;
    uint64_t size, nonce;
    int name;
} views[VIEWS];
static int view_count;

static void storm_step(const char *what) {
    (void)what;
    if (!me || !self_kill_odds || below(self_kill_odds)) return;
    count(SELFKILLS);
    atomic_store(&me->killed, 1);
    kill(getpid(), SIGKILL);
}

/* ------------------------------------------------------------------------------------------------ the oracle */
static void record(actor *a, int name, uint64_t nonce) {
    atomic_store(&a->hold[name].nonce, nonce);
    atomic_fetch_add(&a->hold[name].turn, 1);
}

typedef struct {
    actor *actor; /* NULL: nobody is known to hold the name */
    int name;
    uint64_t nonce, turn;
} witness;

static int still_holds(const witness *w) {
    return w->actor && atomic_load(&w->actor->hold[w->name].nonce) == w->nonce && atomic_load(&w->actor->hold[w->name].turn) == w->turn &&
           !atomic_load(&w->actor->killed) && !atomic_load(&world->over);
}
/* somebody else who holds the name now */
static witness find_witness(int name) {
    uint32_t start = below(ACTORS);
    for (uint32_t i = 0; i < ACTORS; i++) {
        actor *a = &world->actors[(start + i) % ACTORS];
        witness w = {a, name, 0, atomic_load(&a->hold[name].turn)};
        w.nonce = atomic_load(&a->hold[name].nonce);
        if (a != me && w.nonce && still_holds(&w)) return w;
    }
    return (witness){NULL, name, 0, 0};
}
/* We hold `nonce`, and it is recorded: does anybody hold another object of this name? */
static void check_single(int name, uint64_t nonce) {
    for (int i = 0; i < ACTORS; i++) {
        actor *a = &world->actors[i];
        witness w = {a, name, 0, atomic_load(&a->hold[name].turn)};
        w.nonce = atomic_load(&a->hold[name].nonce);
        if (a != me && w.nonce && w.nonce != nonce && still_holds(&w))
            violation(DUP, "name %d: I hold %lx, actor %d holds %lx", name, (long)nonce, i, (long)w.nonce);
    }
}

/* ------------------------------------------------------------------------------------------------ content
 * Word 0 and 1 are written by the filler, before publication, for even names: nonce and size; odd names leave them zero.  Each
 * other word is zero or the nonce with its low byte mixed by whoever wrote it. */
static int tagged(uint64_t word, uint64_t nonce) { return !word || !((word ^ nonce) >> 8); }

static void check_content(int name, const uint64_t *data, uint64_t size, uint64_t nonce) {
    const volatile uint64_t *w = data;
    uint64_t words = size / 8, stride = words > 64 ? words / 32 : 1;
    if (name % 2 ? w[0] || w[1] : w[0] != nonce || w[1] != size)
        violation(WRONG, "name %d object %lx size %lu: head %lx %lu", name, (long)nonce, (long)size, (long)w[0], (long)w[1]);
    for (uint64_t i = 2; i < words; i += stride)
        if (!tagged(w[i], nonce)) violation(WRONG, "name %d object %lx: word %lu is %lx", name, (long)nonce, (long)i, (long)w[i]);
}
static void check_new(int name, const uint64_t *data, uint64_t size, uint64_t nonce) {
    for (uint64_t i = 2; i < size / 8; i++)
        if (!tagged(data[i], nonce)) {
            violation(DIRTY, "name %d object %lx: word %lu is %lx", name, (long)nonce, (long)i, (long)data[i]);
            return;
        }
}
static int fill(nshm_handle *h, void *context) {
    uint64_t *w = h->data;
    (void)context;
    for (uint64_t i = 0; i < h->size / 8; i++)
        if (w[i]) {
            violation(DIRTY, "object %lx is not zero before its publication", (long)h->nonce);
            break;
        }
    w[0] = h->nonce;
    w[1] = h->size;
    return 0;
}
static void scribble(int name, nshm_handle *h) {
    uint64_t *w = h->data, mine = h->nonce ^ (uint64_t)(my_id + 1);
    if (h->readonly) {
        /* the kernel writes the resolution to where we point: a way to try a write without dying of it */
        if (!syscall(SYS_clock_getres, CLOCK_REALTIME, (char *)h->data + 16)) violation(WRONG, "name %d: a read-only handle can write", name);
        return;
    }
    w[2 + below((uint32_t)(h->size / 8 - 2))] = mine;
    w[2] = mine;
    w[h->size / 8 - 1] = mine;
}

/* ------------------------------------------------------------------------------------------------ operations */
static size_t name_of(int name, char *buffer) { return (size_t)sprintf(buffer, "name-%d", name); }

enum { OPEN, CREATE_OR_OPEN, CREATE_NEW };

static void acquire(int name) {
    char text[32];
    size_t n = name_of(name, text);
    witness w = find_witness(name);
    nshm_handle h;
    int how = below(2) ? OPEN : below(6) ? CREATE_OR_OPEN : CREATE_NEW, readonly = below(4) == 0, r;
    uint64_t size = 32 + below(20000);
    if (how == OPEN) r = nshm_open(&scope, NSHM_SECTION, text, n, readonly ? NSHM_READONLY : 0, &h);
    else
        r = nshm_create(&scope, NSHM_SECTION, text, n, size, 0600, -1, 0, how == CREATE_NEW ? NSHM_EXCLUSIVE : 0, 0, name % 2 ? NULL : fill, NULL, &h);
    if (!r) {
        record(me, name, h.nonce);
        count(h.created ? CREATES : OPENS);
        if (h.created && still_holds(&w)) violation(DUP, "name %d created (%lx) while %lx was held", name, (long)h.nonce, (long)w.nonce);
        if (how == CREATE_NEW && !h.created) violation(WRONG, "exclusive create opened name %d", name);
        if (h.created && h.size != size) violation(WRONG, "name %d created with size %lu, not %lu", name, (long)h.size, (long)size);
        check_single(name, h.nonce);
        if (h.created) check_new(name, h.data, h.size, h.nonce);
        check_content(name, h.data, h.size, h.nonce);
        scribble(name, &h);
        handles[name] = h;
        held[name] = 1;
    } else if (r == -ENOENT && how == OPEN) {
        count(MISSES);
        if (still_holds(&w)) violation(LOST, "open of name %d while %lx was held", name, (long)w.nonce);
    } else if (r == -EEXIST && how == CREATE_NEW) {
        count(EXISTS);
    } else {
        violation(ERR, "%s of name %d: %s", how == OPEN ? "open" : how == CREATE_NEW ? "exclusive create" : "create", name, strerror(-r));
    }
}

static void release(int name) {
    nshm_handle *h = &handles[name];
    int keep = below(3) == 0 && view_count < VIEWS;
    check_content(name, h->data, h->size, h->nonce);
    if (keep) {
        views[view_count].data = h->data;
        views[view_count].size = h->size;
        views[view_count].nonce = h->nonce;
        views[view_count++].name = name;
    }
    record(me, name, 0);
    held[name] = 0;
    nshm_close(h, keep);
}

/* our own object must be found, and be the same */
static void open_again(int name) {
    char text[32];
    size_t n = name_of(name, text);
    nshm_handle h;
    int duplicate = below(2);
    int r = duplicate ? nshm_duplicate(&handles[name], 0, &h) : nshm_open(&scope, NSHM_SECTION, text, n, 0, &h);
    if (r) {
        violation(r == -ENOENT ? LOST : ERR, "%s of our own name %d: %s", duplicate ? "duplicate" : "open", name, strerror(-r));
        return;
    }
    if (h.nonce != handles[name].nonce || h.size != handles[name].size) violation(WRONG, "our own name %d leads to another object", name);
    scribble(name, &h);
    check_content(name, handles[name].data, h.size, h.nonce);
    nshm_close(&h, 0);
}

static void unmap_view(void) {
    int i = (int)below((uint32_t)view_count);
    check_content(views[i].name, views[i].data, views[i].size, views[i].nonce);
    munmap(views[i].data, nshm_page_round(views[i].size));
    views[i] = views[--view_count];
}

static void open_as_other_type(int name) {
    char text[32];
    nshm_handle h;
    int r = nshm_open(&scope, NSHM_MUTEX, text, name_of(name, text), 0, &h);
    if (r != -ENOENT && r != -EBADMSG) violation(WRONG, "a section opened as a mutex: %d", r);
    if (r == -ENOENT && held[name]) violation(LOST, "our own name %d is not seen by the opener of another type", name);
}

static void list(int name) {
    char text[32];
    size_t n = name_of(name, text);
    witness w = find_witness(name);
    nshm_info info;
    uint32_t cursor = 0;
    int r, seen = 0, seen_own = 0;
    count(LISTS);
    while (!(r = nshm_next(&scope, &cursor, &info))) {
        if (!info.handles) violation(WRONG, "a listed object without a handle");
        if (info.record.length != n || memcmp(info.record.name, text, n)) continue;
        if (info.record.nonce == w.nonce) seen = 1;
        if (held[name] && info.record.nonce == handles[name].nonce) seen_own = 1;
    }
    if (r != -ENOENT) violation(ERR, "list: %s", strerror(-r));
    if (!seen && still_holds(&w)) violation(LOST, "list without name %d while %lx was held", name, (long)w.nonce);
    if (held[name] && !seen_own) violation(LOST, "list without our own name %d", name);
}

/* Take over slot `a`, which nobody uses: the records are cleared before `killed` is. */
static void reset_actor(actor *a) {
    atomic_store(&a->pid, 0);
    for (int i = 0; i < NAMES; i++) record(a, i, 0);
    atomic_store(&a->killed, 0);
}
static void become(int id) {
    my_id = id;
    me = &world->actors[id];
    for (int i = 0; i < NAMES; i++)
        if (held[i]) record(me, i, handles[i].nonce); /* inherited: ours as much as the parent's */
    stir((uint64_t)getpid() << 8 ^ (uint64_t)id);
    atomic_store(&me->state, RUNNING);
    atomic_store(&me->pid, getpid()); /* from here on it can be killed */
}
static void fork_worker(void) {
    for (int i = FIRST; i < ACTORS; i++) {
        int expected = FREE;
        if (!atomic_compare_exchange_strong(&world->actors[i].state, &expected, CLAIMED)) continue;
        reset_actor(&world->actors[i]);
        pid_t pid = fork();
        if (pid < 0) atomic_store(&world->actors[i].state, FREE);
        if (pid) return; /* a dead child stays a zombie until the first process inherits it: its pid cannot recur before that */
        know_pid(getpid());
        become(i);
        count(FORKS);
        if (below(4) == 0) { /* a short life with a proper end: exit without closing */
            for (int k = 0; k < NAMES; k++) record(me, k, 0);
            _exit(0);
        }
        return;
    }
}

static void __attribute__((noreturn)) work(int id) {
    become(id);
    while (!atomic_load(&world->over)) {
        int churn = atomic_load(&world->churn), name = (int)below(churn ? 2 : NAMES);
        uint32_t what = below(100);
        count(OPS);
        if (churn && held[name] && below(8)) {
            release(name);
            continue;
        }
        if (!held[name] && what < 66) acquire(name);
        else if (held[name] && what < 60) release(name);
        else if (held[name] && what < 74) open_again(name);
        else if (what < 80 && view_count) unmap_view();
        else if (what < 84) list(name);
        else if (what < 88) open_as_other_type(name);
        else if (what < 91 && (!churn || below(20) == 0)) fork_worker();
        else if (what < 93) sched_yield();
    }
    _exit(0);
}

/* ------------------------------------------------------------------------------------------------ the first process */
static void start_worker(int id) {
    reset_actor(&world->actors[id]);
    atomic_store(&world->actors[id].state, CLAIMED);
    pid_t pid = fork_known();
    if (pid < 0) broken("fork");
    if (!pid) work(id);
}
static void reap(int wait_for_all) {
    pid_t pid;
    while ((pid = waitpid(-1, NULL, wait_for_all ? 0 : WNOHANG)) > 0 || (pid < 0 && errno == EINTR))
        for (int i = 0; i < ACTORS; i++)
            if (pid > 0 && atomic_load(&world->actors[i].pid) == pid) {
                atomic_store(&world->actors[i].pid, 0);
                atomic_store(&world->actors[i].state, FREE);
                break;
            }
}
static void kill_actor(actor *a) {
    pid_t pid = atomic_load(&a->pid); /* not reaped yet, so it is still that process's or a zombie's */
    if (pid <= 0) return;
    atomic_store(&a->killed, 1);
    kill(pid, SIGKILL);
    count(KILLS);
}
static void kill_everybody(void) {
    atomic_store(&world->over, 1);
    for (int i = 0; i < ACTORS; i++) kill_actor(&world->actors[i]);
    if (isolated) kill(-1, SIGKILL);
    else
        while (waitpid(-1, NULL, WNOHANG) >= 0) { /* who forked meanwhile registers itself, or sees that the round is over */
            for (int i = 0; i < ACTORS; i++) kill_actor(&world->actors[i]);
            usleep(100);
        }
    reap(1);
}

/* In a process of its own: can an object be created?  Returns its exit status (an errno), or -1 when it hangs. */
static int create_elsewhere(const char *name, int patience) {
    int status = 0;
    pid_t pid = fork_known();
    if (pid < 0) broken("fork");
    if (!pid) {
        nshm_handle h;
        alarm((unsigned)patience);
        int r = nshm_create(&scope, NSHM_SECTION, name, strlen(name), 100, 0600, -1, 0, 0, 0, NULL, NULL, &h);
        if (!r) nshm_close(&h, 0);
        _exit(r ? -r & 127 : 0);
    }
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) broken("waitpid");
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void check_lock(void) {
    int r = create_elsewhere("probe", 5);
    if (r < 0 || r == ETIMEDOUT) violation(STUCK, "nobody can create: the lock was not given up");
    else if (r) violation(ERR, "create of the probe: %s", strerror(r));
}

static void check_leftovers(int round) {
    leftovers left = find_leftovers(NSHM_REGISTRY_SIZE, NSHM_REGISTRY_SPAN);
    if (left.attached || left.strays || left.resident || left.keyed > 1) {
        violation(LEFT, "round %d: attached %d, strays %d, resident %zu, keyed %d, candidates %d", round, left.attached, left.strays,
                  left.resident, left.keyed, left.candidates);
        show_segments();
    }
    if (left.keyed || left.candidates) count(EMPTY_LEFT);
    int r = create_elsewhere("heal", 10);
    if (r) violation(ERR, "create by the first process of a new world: %s", r < 0 ? "hangs" : strerror(r));
    left = find_leftovers(NSHM_REGISTRY_SIZE, NSHM_REGISTRY_SPAN);
    /* elsewhere than in our own PID namespace a dead creator's pid may have recurred: then only time heals its candidate */
    if (left.attached || left.keyed || left.strays || (isolated && left.candidates)) {
        violation(LEFT, "round %d: not healed: attached %d, keyed %d, candidates %d, strays %d", round, left.attached, left.keyed,
                  left.candidates, left.strays);
        show_segments();
    }
}

static void run_round(int round) {
    atomic_store(&world->over, 0);
    atomic_store(&world->churn, below(2));
    self_kill_odds = below(2) ? 3000 : 300;
    for (int i = 0; i < ACTORS; i++) reset_actor(&world->actors[i]), atomic_store(&world->actors[i].state, FREE);
    for (int i = 0; i < FIRST; i++) start_worker(i);
    for (uint32_t blows = 1 + below(8); blows--;) {
        usleep(below(2500));
        kill_actor(&world->actors[below(ACTORS)]);
        reap(0);
        for (int i = 0; i < FIRST; i++)
            if (atomic_load(&world->actors[i].state) == FREE) start_worker(i);
    }
    if (below(4) == 0) check_lock();
    kill_everybody();
    check_leftovers(round);
}

static void report(int rounds, double since) {
    printf("rounds=%d seconds=%.1f isolated=%d", rounds, seconds() - since, isolated);
    print_tally();
}

int main(int argc, char **argv) {
    int rounds = argc > 1 ? atoi(argv[1]) : 300;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL);
    double limit = argc > 3 ? atof(argv[3]) : 1e9; /* seconds */
    char session[64];
    snprintf(session, sizeof session, "storm-%d-%lx", (int)getpid(), (long)time(NULL));
    enter_own_world();
    stir(seed);
    world = shared_memory(sizeof *world);
    begin_tally();
    nshm_scope_init(&scope, NSHM_LOCAL, session, -1, 1);
    double since = seconds(), reported = since;
    int round = 0;
    /* a violation ends the storm: later ones may be its echo */
    while (round < rounds && seconds() - since < limit && !all_violations()) {
        run_round(round++);
        if (seconds() - reported > 60) report(round, since), reported = seconds();
    }
    report(round, since);
    return all_violations() ? CAUGHT : 0;
}
