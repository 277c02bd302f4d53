/* words.c - fuzzes the control pages of mutexes, events and semaphores, before and between the operations of a victim; see world.h.
 *
 * The input is a program: writes to a page, and operations.  Whatever stands there: no signal, no hang beyond the deadline, a thread
 * can always give up what it thinks it owns, its robust list stays whole, and nothing stays attached or pending.
 */
#include "world.h"

enum { FIRST = 3, PAGES = 4, HANDLES = 2, OPERATIONS_MAX = 60 }; /* M, E, A, S; two handles to each */
static nshm_words *pages[PAGES], saved_pages[PAGES];
static nshm_handle attached[PAGES];
typedef struct {
    nshm_handle h;
    nshm_waitee o;
    int open;
} victim;
static victim victims[PAGES][HANDLES];

static uint32_t a_word(input *in) {
    uint32_t tid = (uint32_t)syscall(SYS_gettid);
    const uint32_t values[] = {0, 1, tid, tid | FUTEX_WAITERS, FUTEX_OWNER_DIED, FUTEX_OWNER_DIED | FUTEX_WAITERS, FUTEX_WAITERS, NSHM_SET,
                               NSHM_RESERVED, NSHM_SET | NSHM_RESERVED, NSHM_RESERVED_MUTEX, NSHM_RESERVED_MUTEX | FUTEX_OWNER_DIED, (uint32_t)getppid(),
                               NSHM_MIXED, 0x3fffffff, 0x7fffffff, 2, 9, NSHM_MUTEX, NSHM_EVENT, NSHM_SEMAPHORE};
    uint32_t kind = take(in, 1);
    return kind < 0xc0 ? values[kind % (sizeof values / sizeof *values)] : take(in, 4);
}
static void scribble(input *in, nshm_words *w) {
    uint32_t kind = take(in, 1) % 12;
    if (kind == 11) {
        raw(in, w, sizeof *w);
        return;
    }
    uint32_t v = a_word(in);
    switch (kind) {
    case 0: w->type = v; break;
    case 1: w->manual = v; break;
    case 2: w->maximum = v; break;
    case 3: w->waiters = v; break;
    case 4: w->pulse = v; break;
    case 5: w->space = v; break;
    case 6: w->counter = v | (uint64_t)a_word(in) << 32; break;
    default: w->state = v;
    }
}
static void open_one(int page, victim *v, int readonly) {
    const kept_object *o = &objects[FIRST + page];
    int r = nshm_open(&scope, o->type, o->name, strlen(o->name), readonly ? NSHM_READONLY : 0, &v->h);
    if (r) caught("open %s: %d", o->name, r);
    v->open = !(r = nshm_sync_waitee(&v->h, o->type, &v->o));
    if (r && r != -EUCLEAN) caught("waitee of %s: %d", o->name, r);
    if (!v->open) nshm_close(&v->h, 0);
}
static void close_one(victim *v) {
    if (!v->open) return;
    v->open = 0;
    nshm_close(&v->h, nshm_sync_keep(&v->o));
}
static int known(int r) {
    static const int errors[] = {EAGAIN, EBUSY, ETIMEDOUT, EINTR, EINVAL, EPERM, EUCLEAN, EOVERFLOW, ENOLCK, EXDEV, ENOSYS, ETIME};
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (r == -errors[i]) return 1;
    return r >= 0;
}
static void operate(input *in) {
    uint32_t what = take(in, 1), page = take(in, 1);
    victim *v = &victims[page % PAGES][page / PAGES % HANDLES];
    nshm_wait_context c;
    uint32_t previous, k;
    int r = 0;
    if (what % 14 == 0) {
        close_one(v);
        return;
    }
    if (!v->open) {
        open_one((int)(page % PAGES), v, 0);
        return;
    }
    switch (what % 14) {
    case 1: r = nshm_try_once(&v->o); break;
    case 2: r = nshm_try(&v->o); break;
    case 3: if (v->o.type == NSHM_MUTEX) r = nshm_mutex_release(&v->o); break;
    case 4: if (v->o.type == NSHM_EVENT) r = nshm_event_set(&v->o); break;
    case 5: if (v->o.type == NSHM_EVENT) r = nshm_event_reset(&v->o); break;
    case 6: if (v->o.type == NSHM_EVENT) r = nshm_event_pulse(&v->o); break;
    case 7: if (v->o.type == NSHM_SEMAPHORE) r = nshm_semaphore_release(&v->o, a_word(in), &previous); break;
    case 8: r = nshm_settle(&v->o, nshm_now() + 100000); break;
    default:
        memset(&c, 0, sizeof c);
        c.object[c.count++] = v->o;
        for (k = what / 14 % 8; k; k >>= 1) { /* several, maybe all of them */
            victim *more = &victims[(page + (uint32_t)c.count) % PAGES][0];
            if (k & 1 && more->open) c.object[c.count++] = more->o;
        }
        c.all = what % 14 >= 11;
        c.deadline = what % 2 ? 0 : nshm_now() + 50000;
        c.spin = what % 3 ? 0 : 20000;
        r = nshm_wait(&c);
        if (r >= 0 && (r & ~NSHM_ABANDONED) >= c.count) caught("wait for %d objects: %d", c.count, r);
    }
    if (!known(r)) caught("operation %u of %s: %d", what % 14, objects[FIRST + page % PAGES].name, r);
}

static void start(void) {
    for (int i = 0; i < PAGES; i++) {
        const kept_object *o = &objects[FIRST + i];
        if (nshm_open(&scope, o->type, o->name, strlen(o->name), 0, &attached[i])) broken("open %s", o->name);
        pages[i] = attached[i].data;
        memcpy(&saved_pages[i], pages[i], sizeof saved_pages[i]);
        attached_before[2 * (FIRST + i)]++;
        attached_before[2 * (FIRST + i) + 1]++;
    }
    nshm__tid();
}
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input in = {data, data + size};
    struct robust_list_head *head;
    if (!pages[0]) start();
    head = nshm__me.head;
    struct robust_list *first = head->list.next;
    for (int n = 0; in.at < in.end && n < OPERATIONS_MAX; n++) {
        if (take(&in, 1) & 1) scribble(&in, pages[take(&in, 1) % PAGES]);
        else operate(&in);
        if (head->list_op_pending) caught("something stays pending");
    }
    for (int i = 0; i < PAGES; i++) /* what it owns it can give up, through any handle */
        for (int k = 0; k < HANDLES; k++) {
            victim *v = &victims[i][k];
            int r = 0, rounds = 0;
            memcpy(pages[i], &saved_pages[i], sizeof(nshm_words));
            if (!v->open) open_one(i, v, 0);
            while (v->open && v->o.type == NSHM_MUTEX && !(r = nshm_mutex_release(&v->o)) && rounds++ < OPERATIONS_MAX) {}
            if (r && r != -EPERM && r != -EUCLEAN) caught("release in the end: %d", r);
            close_one(v);
            memcpy(pages[i], &saved_pages[i], sizeof(nshm_words));
        }
    if (nshm__me.count) caught("it owns %d mutexes in the end", nshm__me.count);
    if (head->list.next != first) caught("its robust list is not as it was");
    check_the_living();
    check_attachments();
    return 0;
}
