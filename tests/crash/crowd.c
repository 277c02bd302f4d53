/* crowd.c - threads of one process do at once all that the headers offer: what ThreadSanitizer is to look at.
 *
 *   crowd SECONDS SEED [THREADS]
 *
 * In rounds of half a second, each with new scopes, which the threads' first operations make at once.
 * Two kinds of things are used.  Names that all threads create, open, duplicate, map, list, hand over and close, each with handles
 * of its own.  And objects whose one handle all threads share, as they do in Python: mutexes, events and semaphores of both
 * scopes, on which they wait in every way.  Those guard ordinary variables, which are changed without atomics: if acquiring did
 * not order what was done before releasing, ThreadSanitizer says so.  (Two attachments of one segment are two addresses, and it
 * does not know that they are the same memory: only through one handle does it see one thread's release in another's acquire.)
 *
 * Exit status 0: no operation failed in a way it may not, nobody met somebody else's content, nothing guarded was lost. */
#include "common.h"

#include "namedshm_sync.h"

enum { THREADS = 64, NAMES = 3, PARCELS = 8, SIZE = 100 };
#define ROUND 0.5 /* seconds */
static nshm_scope local, global;
static double end;
static _Atomic long failures;

static __thread uint64_t my_dice;
static uint32_t dice(uint32_t limit) {
    my_dice = my_dice * 6364136223846793005ULL + 1442695040888963407ULL;
    return (uint32_t)((my_dice >> 33) % limit);
}
static void failed(const char *what, int r) {
    if (atomic_fetch_add(&failures, 1) < 20) fprintf(stderr, "FAILED %s: %d %s\n", what, r, strerror(r < 0 ? -r : 0));
}

enum { CREATES, OPENS, MAPS, DUPLICATES, LISTS, HANDED, TAKEN, ANYS, ALLS, TIMEOUTS, CHANGES, WATCHES, COUNTERS };
static const char *counter_name[COUNTERS] = {"creates", "opens", "maps", "duplicates", "lists",   "handed",
                                             "taken",   "anys",  "alls", "timeouts",   "changes", "watches"};
static _Atomic long counters[COUNTERS];
static void count(int which) { atomic_fetch_add_explicit(&counters[which], 1, memory_order_relaxed); }

/* Changes do not wait while somebody's wait-all decides: then, again. */
#define SETTLED(o, change) ({ \
    int result_; \
    while ((result_ = (change)) == -EBUSY && !nshm_settle(&(o), INT64_MAX)) \
        ; \
    result_; \
})

/* ------------------------------------------------------------------------------------------------ names */
static nshm_scope *any_scope(void) { return dice(4) ? &local : &global; }

/* The first word of a section is its identity, written by whoever comes first: another one is another object's content. */
static void check_content(void *data, uint64_t nonce, int readonly) {
    uint64_t *word = (uint64_t *)data, found = 0;
    if (readonly) found = __atomic_load_n(word, __ATOMIC_SEQ_CST);
    else __atomic_compare_exchange_n(word, &found, nonce, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    if (found && found != nonce) failed("another object's content", 0);
}
static void map_section(const nshm_handle *h) {
    int readonly = h->readonly || (int)dice(2);
    void *view = nshm_attach_data(h, readonly, 0);
    if (!view) {
        failed("attach", -errno);
        return;
    }
    check_content(view, h->nonce, readonly);
    munmap(view, nshm_page_round(h->size));
    count(MAPS);
}
static int get_section(nshm_scope *s, const char *name, nshm_handle *h) {
    size_t n = strlen(name);
    int readonly = dice(3) ? 0 : NSHM_READONLY, r;
    if (dice(2)) r = nshm_open(s, NSHM_SECTION, name, n, readonly, h);
    else r = nshm_create(s, NSHM_SECTION, name, n, SIZE, dice(3) ? 0600 : 0640, -1, 0, dice(3) ? 0 : NSHM_EXCLUSIVE, 0, NULL, NULL, h);
    if (!r) count(h->created ? CREATES : OPENS);
    else if (r != -ENOENT && r != -EEXIST && r != -EBADMSG) failed("section", r);
    return r;
}
static void use_section(void) {
    char name[16];
    nshm_handle h, second;
    snprintf(name, sizeof name, "section %d", (int)dice(NAMES));
    if (get_section(any_scope(), name, &h)) return;
    check_content(h.data, h.nonce, h.readonly);
    if (!dice(3)) map_section(&h);
    if (!dice(3)) {
        int r = nshm_duplicate(&h, (int)dice(2), &second);
        if (r) failed("duplicate", r);
        else {
            count(DUPLICATES);
            if (dice(2)) nshm_close_name(&h);
            check_content(second.data, second.nonce, second.readonly);
            nshm_close(&second, 0);
        }
    }
    if (dice(3)) nshm_close(&h, 0);
    else { /* a view outlives the handle */
        void *data = h.data;
        nshm_close(&h, 1);
        check_content(data, h.nonce, h.readonly);
        munmap(data, nshm_page_round(SIZE));
    }
}
static void use_unnamed(void) {
    nshm_handle h;
    int r = nshm_create_unnamed(&local, SIZE, 0600, 0, &h);
    if (r) {
        failed("unnamed", r);
        return;
    }
    map_section(&h);
    nshm_close(&h, 0);
}
static void list_names(void) {
    nshm_scope *s = any_scope();
    uint32_t cursor = 0;
    nshm_info info;
    int r;
    while (!(r = nshm_next(s, &cursor, &info)))
        if (info.record.length > NSHM_NAME_MAX) failed("a listed name's length", 0);
    if (r != -ENOENT) failed("list", r);
    count(LISTS);
}
/* A synchronisation object by name, with a handle of this thread's own; a mutex also closed while it is owned. */
static void use_sync(void) {
    static const uint16_t types[] = {NSHM_MUTEX, NSHM_EVENT, NSHM_SEMAPHORE};
    char name[16];
    nshm_scope *s = any_scope();
    nshm_handle h, second;
    nshm_waitee o, o2;
    uint32_t previous;
    int kind = (int)dice(3), r;
    nshm_sync_start start = {types[kind], 0, 3, kind == 2};
    size_t n = (size_t)snprintf(name, sizeof name, "sync %d %d", kind, (int)dice(NAMES));
    r = dice(2) ? nshm_open(s, types[kind], name, n, 0, &h)
                : nshm_create(s, types[kind], name, n, 4096, 0600, -1, 0, 0, 0, nshm_sync_fill, &start, &h);
    if (r) {
        if (r != -ENOENT) failed("sync", r);
        return;
    }
    count(h.created ? CREATES : OPENS);
    if ((r = nshm_sync_waitee(&h, types[kind], &o))) failed("waitee", r);
    r = SETTLED(o, nshm_try(&o));
    if (r < 0 && r != -EAGAIN) failed("try", r);
    if (kind == 0 && r >= 0) {
        count(TAKEN);
        if (dice(2)) {
            if ((r = nshm_mutex_release(&o))) failed("release", r);
        } else if (!(r = nshm_duplicate(&h, 0, &second))) { /* the page stays mapped: the kernel must find the word */
            nshm_close(&h, nshm_sync_keep(&o));
            h = second;
            if ((r = nshm_sync_waitee(&h, types[kind], &o2))) failed("waitee", r);
            if ((r = nshm_mutex_release(&o2))) failed("release through another handle", r);
        } else failed("duplicate", r);
    } else if (kind == 1 && (r = SETTLED(o, dice(2) ? nshm_event_set(&o) : nshm_event_pulse(&o)))) failed("set", r);
    else if (kind == 2 && r >= 0 && (r = SETTLED(o, nshm_semaphore_release(&o, 1, &previous)))) failed("give", r);
    nshm_close(&h, 0);
}

/* ------------------------------------------------------------------------------------------------ shared objects */
enum { MUTEX, TOKEN, COUNTING, GATE, BELL };
static const struct {
    const char *name;
    int kind, global;
    nshm_sync_start start; /* type, manual, maximum, initial */
} things[] = {
    {"m0", MUTEX, 0, {NSHM_MUTEX, 0, 0, 0}},        {"m1", MUTEX, 1, {NSHM_MUTEX, 0, 0, 0}},
    {"token", TOKEN, 0, {NSHM_EVENT, 0, 0, 1}},     {"one", TOKEN, 1, {NSHM_SEMAPHORE, 0, 1, 1}},
    {"three", COUNTING, 0, {NSHM_SEMAPHORE, 0, 3, 3}}, {"gate", GATE, 0, {NSHM_EVENT, 1, 0, 0}},
    {"bell", BELL, 1, {NSHM_EVENT, 0, 0, 0}},
};
enum { OBJECTS = sizeof things / sizeof *things };
static nshm_handle handles[OBJECTS];
static nshm_waitee objects[OBJECTS];
static struct {
    long first, second; /* equal while nobody is inside */
} guarded[OBJECTS];

static void make_things(void) {
    for (int k = 0; k < OBJECTS; k++) {
        nshm_sync_start start = things[k].start;
        nshm_scope *s = things[k].global ? &global : &local;
        int r = nshm_create(s, (uint16_t)start.type, things[k].name, strlen(things[k].name), 4096, 0600, -1, 0, NSHM_EXCLUSIVE, 0,
                            nshm_sync_fill, &start, &handles[k]);
        if (r || (r = nshm_sync_waitee(&handles[k], start.type, &objects[k]))) {
            errno = -r;
            broken("%s", things[k].name);
        }
    }
}
static void inside(int k) {
    count(TAKEN);
    if (things[k].kind != MUTEX && things[k].kind != TOKEN) return;
    if (guarded[k].first != guarded[k].second) failed("two are inside", 0);
    guarded[k].first++;
    if (!dice(8)) sched_yield();
    guarded[k].second++;
}
static void give(int k) {
    nshm_waitee o = objects[k];
    uint32_t previous;
    int r = 0;
    if (things[k].kind == MUTEX) r = nshm_mutex_release(&o);
    else if (o.type == NSHM_SEMAPHORE) r = SETTLED(o, nshm_semaphore_release(&o, 1, &previous));
    else if (things[k].kind == TOKEN) r = SETTLED(o, nshm_event_set(&o));
    if (r) failed(things[k].name, r);
}
static void wait_for_some(void) {
    nshm_wait_context c;
    int set[OBJECTS], size = 0, r;
    memset(&c, 0, sizeof c);
    for (int k = 0, few = (int)dice(2); k < OBJECTS; k++)
        if (!dice(few ? OBJECTS : 3)) set[size++] = k;
    if (!size) return;
    for (int k = 0; k < size; k++) c.object[k] = objects[set[k]];
    c.count = size;
    c.all = size > 1 && dice(2);
    c.deadline = dice(2) ? nshm_now() + 2000000 : 0;
    c.spin = dice(2) ? 0 : 5000;
    r = nshm_wait(&c);
    if (r == -ETIMEDOUT) {
        count(TIMEOUTS);
        return;
    }
    if (r < 0 || r & NSHM_ABANDONED) {
        failed("wait", r);
        return;
    }
    count(c.all ? ALLS : ANYS);
    for (int k = c.all ? 0 : r; k < (c.all ? size : r + 1); k++) inside(set[k]);
    for (int k = c.all ? 0 : r; k < (c.all ? size : r + 1); k++) give(set[k]);
}
static void ring(void) { /* what anybody may change at any time */
    int k = OBJECTS - 2 + (int)dice(2), r = -EINVAL;
    nshm_waitee o = objects[k];
    switch (dice(3)) {
    case 0: r = SETTLED(o, nshm_event_set(&o)); break;
    case 1: r = SETTLED(o, nshm_event_reset(&o)); break;
    case 2: r = SETTLED(o, nshm_event_pulse(&o)); break;
    }
    if (r) failed("ring", r);
    count(CHANGES);
}

/* ------------------------------------------------------------------------------------------------ watching, as an event loop does */
static uint32_t control;

static void *watcher(void *argument) {
    nshm_wait_context waits[3], *list[3];
    unsigned char ready[3];
    struct timespec pause = {0, 300000};
    (void)argument;
    my_dice = 1;
    for (int i = 0; i < 3; i++) list[i] = &waits[i];
    while (seconds() < end) {
        memset(waits, 0, sizeof waits);
        for (int i = 0; i < 3; i++) {
            waits[i].count = 1 + (int)dice(2);
            waits[i].all = (int)dice(2);
            for (int k = 0; k < waits[i].count; k++) waits[i].object[k] = objects[OBJECTS - 1 - (i + k) % OBJECTS];
        }
        uint32_t seen = __atomic_load_n(&control, __ATOMIC_SEQ_CST);
        for (int turns = 0; turns < 20; turns++) {
            int r = nshm_watch(list, 3, &control, seen, ready);
            if (r) failed("watch", r);
            count(WATCHES);
            for (int i = 0; i < 3; i++) {
                if (!ready[i]) continue;
                r = nshm_wait(&waits[i]); /* deadline 0: a poll */
                if (r >= 0)
                    for (int k = waits[i].all ? 0 : r; k < (waits[i].all ? waits[i].count : r + 1); k++) {
                        int thing = OBJECTS - 1 - (i + k) % OBJECTS;
                        inside(thing);
                        give(thing);
                    }
                else if (r != -ETIMEDOUT) failed("poll", r);
            }
            if (__atomic_load_n(&control, __ATOMIC_SEQ_CST) != seen) break;
            nanosleep(&pause, NULL); /* others are to have a turn */
        }
    }
    return NULL;
}
static void tell_watcher(void) {
    __atomic_fetch_add(&control, 1, __ATOMIC_SEQ_CST);
    nshm__wake(&control, 1);
}

/* ------------------------------------------------------------------------------------------------ handing handles over */
static _Atomic int offered[PARCELS]; /* number of a parcel that waits for a receiver; 0 none */
static _Atomic int parcel_number;

static size_t parcel_name(int number, char *name) { return (size_t)sprintf(name, "parcel %d", number); }

static void hand_over(void) {
    char name[32];
    nshm_handle h;
    nshm_parked parked;
    int number = 1 + atomic_fetch_add(&parcel_number, 1), none = 0, r;
    _Atomic int *place = &offered[dice(PARCELS)];
    if (dice(2) ? nshm_create_unnamed(&local, SIZE, 0600, 0, &h) : get_section(&local, "section 0", &h)) return;
    if ((r = nshm_send(&local, &h, 0, name, parcel_name(number, name), 0, &parked))) failed("send", r);
    else {
        int mine = atomic_compare_exchange_strong(place, &none, number);
        for (int i = 0; mine && i < 50 && atomic_load(place) == number; i++) sched_yield();
        if (mine && !atomic_compare_exchange_strong(place, &(int){number}, 0)) while (!nshm_parcel_claimed(&parked)) sched_yield();
        if ((r = nshm_unsend(&parked, 1))) failed("unsend", r);
    }
    nshm_close(&h, 0);
}
static void accept_parcel(void) {
    char name[32];
    nshm_handle h;
    nshm_note note;
    int number = atomic_exchange(&offered[dice(PARCELS)], 0), r;
    if (!number) return;
    if ((r = nshm_receive(&local, &global, name, parcel_name(number, name), &h, &note))) {
        failed("receive", r);
        return;
    }
    if (!h.data) failed("a parcel without data", 0);
    count(HANDED);
    nshm_close(&h, 0);
}

/* ------------------------------------------------------------------------------------------------ all of it */
static _Atomic int things_made;

static void *work(void *argument) {
    my_dice = (uint64_t)(uintptr_t)argument * 0x9e3779b97f4a7c15ULL + 1;
    while (seconds() < end) {
        int what = (int)dice(12);
        if (what > 7 && !atomic_load(&things_made)) what -= 8;
        switch (what) {
        case 0: case 1: case 2: use_section(); break;
        case 3: use_unnamed(); break;
        case 4: list_names(); break;
        case 5: use_sync(); break;
        case 6: hand_over(); break;
        case 7: accept_parcel(); break;
        case 8: case 9: wait_for_some(); break;
        case 10: ring(); break;
        case 11: tell_watcher(); break;
        }
    }
    return NULL;
}

int main(int argc, char **argv) {
    pthread_t threads[THREADS], watching;
    double length = argc > 1 ? atof(argv[1]) : 2, over;
    unsigned long seed = argc > 2 ? strtoul(argv[2], NULL, 0) : 1;
    int size = argc > 3 ? atoi(argv[3]) : 5, rounds = 0;
    if (size < 1 || size > THREADS) broken("from 1 to %d threads", THREADS);
    enter_own_world();
    for (over = seconds() + length; seconds() < over && !failures; rounds++) {
        char session[64];
        snprintf(session, sizeof session, "crowd-%d-%lx-%d", (int)getpid(), (long)time(NULL), rounds);
        nshm_scope_init(&local, NSHM_LOCAL, session, -1, 1);
        nshm_scope_init(&global, NSHM_GLOBAL, session, -1, 1);
        end = seconds() + ROUND;
        for (int i = 0; i < size; i++) { /* they make the scopes' registries, all at once */
            uintptr_t salt = (seed * 1000 + (unsigned)rounds) * THREADS + (unsigned)i;
            if (pthread_create(&threads[i], NULL, work, (void *)salt)) broken("pthread_create");
        }
        make_things();
        atomic_store(&things_made, 1);
        if (pthread_create(&watching, NULL, watcher, NULL)) broken("pthread_create");
        for (int i = 0; i < size; i++) pthread_join(threads[i], NULL);
        tell_watcher();
        pthread_join(watching, NULL);
        atomic_store(&things_made, 0);
        for (int k = 0; k < OBJECTS; k++) nshm_close(&handles[k], 0);
    }
    printf("rounds=%d", rounds);
    for (int k = 0; k < COUNTERS; k++) printf(" %s=%ld", counter_name[k], counters[k]);
    printf(" failures=%ld\n", failures);
    return failures ? CAUGHT : 0;
}
