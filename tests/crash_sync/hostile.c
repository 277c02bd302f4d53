/* hostile.c - somebody with the right to write one mutex's page writes over all of it, all the time, while others use that mutex and
 * others besides.
 *
 *   hostile SECONDS SEED
 *
 * Victims, processes of two threads, take and release the bad mutex and two good ones in all combinations, with waits for several,
 * through handles that other threads use and close; threads end and processes are killed while they own.  The bad mutex may be
 * useless.  What must hold:
 *   CRASH    no victim dies of anything but SIGKILL
 *   DOUBLE   the good mutexes exclude
 *   UNTOLD   and tell a death
 *   STUCK    and can be had in the end, as can the registry's lock
 *   ERR      and give no error
 */
#include "../crash/common.h"
#include "namedshm_sync.h"
#include "settled.h"

#ifndef PATIENCE
#define PATIENCE 10 /* seconds; what is due takes microseconds */
#endif
enum { BAD, GOOD, ALSO_GOOD, MUTEXES, VICTIMS = 3, THREADS = 2, NUMBERS = 1 << 18, PROCESSES = 1 << 16 };
enum { DOUBLE, UNTOLD, STUCK, ERR, CRASH, VIOLATIONS };
static const char *violation_name[VIOLATIONS] = {"double", "untold", "stuck", "err", "crash"};
enum { TAKEN, BAD_TAKEN, DAMAGED, KEPT, THREAD_ENDS, KILLS, COUNTERS };
static const char *counter_name[COUNTERS] = {"taken", "bad_taken", "damaged", "kept", "thread_ends", "kills"};
#include "../crash/tally.h"

static struct {
    _Atomic int over, inside[MUTEXES]; /* the thread inside, as 1 + number, set after taking and cleared before releasing */
    _Atomic int numbers, process_of[NUMBERS];                 /* of threads */
    _Atomic char thread_ended[NUMBERS], process_ended[PROCESSES]; /* set before whatever ends it */
} *world;
static nshm_scope scope;
static nshm_handle handles[MUTEXES];
static nshm_waitee mutex[MUTEXES];
static const char *const names[MUTEXES] = {"bad", "good", "also good"};
static __thread int number, held[MUTEXES];
static __thread uint64_t dice_state;

static uint32_t dice(uint32_t limit) {
    dice_state = dice_state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (uint32_t)(dice_state >> 40) % limit;
}
static int gone(int who) { return world->thread_ended[who] || world->process_ended[world->process_of[who]]; }

static void took(int k, int told) {
    count(k == BAD ? BAD_TAKEN : TAKEN);
    if (k == BAD || held[k]++) return;
    int before = atomic_exchange(&world->inside[k], number);
    if (before && !gone(before)) violation(DOUBLE, "%s: %d came in while %d was inside", names[k], number, before);
    else if (before && !told) violation(UNTOLD, "%s: %d died inside, %d was not told", names[k], before, number);
}
static void refused(int r, int good) {
    if (r == -EUCLEAN) count(DAMAGED);
    if (good && r && r != -ETIMEDOUT && r != -EAGAIN) violation(ERR, "good mutexes: %s", strerror(-r));
}
static int try_one(nshm_waitee *o, int k) {
    int r = nshm_try(o);
    if (r >= 0) took(k, r);
    else refused(r, k != BAD);
    return r;
}
static void wait_for(const int *set, int size, int all) {
    nshm_wait_context c;
    int r;
    memset(&c, 0, sizeof c);
    c.count = size;
    c.all = all;
    c.deadline = nshm_now() + dice(2000000);
    for (int k = 0; k < size; k++) c.object[k] = mutex[set[k]];
    while ((r = nshm_wait(&c)) == -EINTR) {}
    if (r < 0) refused(r, set[0] != BAD);
    for (int k = 0; r >= 0 && k < size; k++)
        if (all || k == (r & ~NSHM_ABANDONED)) took(set[k], (int)(c.abandoned >> k & 1));
}
static void give(int k) {
    int r, mine = number;
    if (k != BAD && held[k] == 1 && !atomic_compare_exchange_strong(&world->inside[k], &mine, 0))
        violation(DOUBLE, "%s: %d is inside of what %d has", names[k], mine, number);
    r = nshm_mutex_release(&mutex[k]);
    if (k != BAD) held[k]--, refused(r, 1);
}
/* Through a handle of our own, which is closed while we own: maybe the only one that the list goes through. */
static void through_a_handle(int k) {
    nshm_handle h;
    nshm_waitee o;
    if (nshm_open(&scope, NSHM_MUTEX, names[k], strlen(names[k]), 0, &h)) return; /* not of that type, says the page */
    if (nshm_sync_waitee(&h, NSHM_MUTEX, &o) == 0) try_one(&o, k);
    int keep = nshm_sync_keep(&o);
    if (keep) count(KEPT);
    nshm_close(&h, keep);
}
static int step(void) { /* 0: this thread is to end */
    int k = (int)dice(MUTEXES);
    switch (dice(12)) {
    case 0: case 1: case 2: try_one(&mutex[k], k); break;
    case 3: wait_for((int[]){BAD, GOOD}, 2, 0); break;
    case 4: wait_for((int[]){BAD, GOOD, ALSO_GOOD}, 3, 1); break;
    case 5: wait_for((int[]){GOOD, ALSO_GOOD}, 2, 1); break;
    case 6: wait_for(&(int){k}, 1, 0); break;
    case 7: through_a_handle(k); break;
    case 8: if (!dice(40)) return 0; break;
    default:
        for (k = 0; k < MUTEXES; k++)
            if (k == BAD) for (int i = 0; i < 4; i++) give(k);
            else while (held[k]) give(k);
    }
    return 1;
}
static void *victim_thread(void *process) {
    number = 1 + atomic_fetch_add(&world->numbers, 1) % (NUMBERS - 1);
    world->process_of[number] = (int)(intptr_t)process;
    dice_state = (uint64_t)getpid() << 32 ^ (uint64_t)syscall(SYS_gettid) << 8 ^ (uint64_t)nshm_now();
    while (step()) {}
    atomic_store(&world->thread_ended[number], 1);
    count(THREAD_ENDS);
    return NULL;
}
static pid_t start_victim(int process) {
    pid_t pid = fork_known();
    if (pid < 0 || process >= PROCESSES) broken("fork");
    if (pid) return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int k = 0; k < MUTEXES; k++)
        for (;;) { /* the type of the bad one is right only now and then */
            if (nshm_open(&scope, NSHM_MUTEX, names[k], strlen(names[k]), 0, &handles[k])) _exit(BROKEN);
            if (!nshm_sync_waitee(&handles[k], NSHM_MUTEX, &mutex[k]) || k == BAD) break;
        }
    mutex[BAD].type = NSHM_MUTEX;
    pthread_t thread[THREADS];
    for (int t = 0; t < THREADS; t++)
        if (pthread_create(&thread[t], NULL, victim_thread, (void *)(intptr_t)process)) _exit(BROKEN);
    for (int t = 0;; t = (t + 1) % THREADS) {
        pthread_join(thread[t], NULL);
        if (pthread_create(&thread[t], NULL, victim_thread, (void *)(intptr_t)process)) _exit(BROKEN);
    }
}
static void scribble(void) {
    nshm_handle h;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (nshm_open(&scope, NSHM_MUTEX, names[BAD], strlen(names[BAD]), 0, &h)) _exit(BROKEN);
    unsigned char *page = h.data;
    nshm_words *w = h.data;
    for (long i = 0;; i++) {
        uint32_t seen = w->state;
        switch (below(8)) {
        case 0: page[below(4096)] = (unsigned char)random_word(); break;
        case 1: page[4032 + below(64)] = (unsigned char)random_word(); break;
        case 2: w->state = 0; break;
        case 3: w->state = below(2) ? FUTEX_OWNER_DIED : NSHM_RESERVED_MUTEX; break;
        case 4: w->state = seen ^ 1u << below(32); break;
        case 5: w->state = (uint32_t)getpid() + below(40); break;
        case 6: w->waiters = below(3); break;
        default: memset(page + below(4080), (int)below(256), 16); break;
        }
        if (i % 64 == 0) usleep(below(300));
    }
}

int main(int argc, char **argv) {
    double limit = argc > 1 ? atof(argv[1]) : 5, since;
    char session[64];
    pid_t victims[VICTIMS], attacker;
    int process[VICTIMS], processes = 0, status;
    snprintf(session, sizeof session, "hostile-%d-%lx", (int)getpid(), (long)time(NULL));
    enter_own_world();
    stir(argc > 2 ? strtoull(argv[2], NULL, 0) : 1);
    world = shared_memory(sizeof *world);
    begin_tally();
    nshm_scope_init(&scope, NSHM_LOCAL, session, -1, 1);
    for (int k = 0; k < MUTEXES; k++) {
        nshm_sync_start start = {NSHM_MUTEX, 0, 0, 0};
        int r = nshm_create(&scope, NSHM_MUTEX, names[k], strlen(names[k]), 4096, 0600, -1, 0, 0, 0, nshm_sync_fill, &start, &handles[k]);
        if (r || nshm_sync_waitee(&handles[k], NSHM_MUTEX, &mutex[k])) broken("create: %s", strerror(-r));
    }
    if (!(attacker = fork_known())) scribble();
    for (int i = 0; i < VICTIMS; i++) victims[i] = start_victim(process[i] = processes++);
    for (since = seconds(); seconds() - since < limit && !all_violations();) {
        usleep(below(20000));
        int i = (int)below(VICTIMS);
        if (waitpid(victims[i], &status, WNOHANG) == victims[i]) {
            violation(CRASH, "a victim ended with %x", status);
            victims[i] = 0;
            break;
        }
        atomic_store(&world->process_ended[process[i]], 1);
        kill(victims[i], SIGKILL);
        count(KILLS);
        while (waitpid(victims[i], &status, 0) < 0 && errno == EINTR) {}
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) violation(CRASH, "a victim ended with %x", status);
        victims[i] = start_victim(process[i] = processes++);
    }
    for (int i = 0; i < VICTIMS; i++)
        if (victims[i]) atomic_store(&world->process_ended[process[i]], 1), kill(victims[i], SIGKILL), waitpid(victims[i], NULL, 0);
    kill(attacker, SIGKILL);
    waitpid(attacker, NULL, 0);
    for (int k = GOOD; k < MUTEXES; k++) {
        nshm_wait_context c;
        int r, inside = world->inside[k];
        memset(&c, 0, sizeof c);
        c.count = 1;
        c.object[0] = mutex[k];
        c.deadline = nshm_now() + PATIENCE * 1000000000LL;
        if ((r = nshm_wait(&c)) < 0) violation(STUCK, "%s: %s", names[k], strerror(-r));
        else if (inside && !r) violation(UNTOLD, "%s: %d died inside, and that was not told", names[k], inside);
        if (r >= 0) nshm_mutex_release(&mutex[k]);
    }
    alarm(PATIENCE);
    nshm_handle probe;
    if (nshm_create(&scope, NSHM_SECTION, "probe", 5, 100, 0600, -1, 0, 0, 0, NULL, NULL, &probe)) violation(STUCK, "the registry's lock");
    printf("seconds=%.1f", seconds() - since);
    print_tally();
    return all_violations() ? CAUGHT : 0;
}
