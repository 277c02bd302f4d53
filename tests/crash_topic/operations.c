/* operations.c - what namedshm_topic.h promises, one promise after the other, in one process and its children.
 *
 *   operations NAME    one of them
 *   operations list    their names
 *
 * Nobody looks by himself for an hour, but where it says so: a wake-up that does not come is a test that hangs, and is stopped.
 */
#include "../crash/common.h"
static int64_t nap = 3600000000000LL;
#define NSHM_TOPIC_NAP nap
static void (*at_step)(const char *what);
#define NSHM_STEP(what) (at_step ? at_step(what) : (void)0)
#include "topics.h"

#define must(condition)                                                                          \
    do {                                                                                         \
        if (!(condition)) {                                                                      \
            fprintf(stderr, "line %d: %s (errno %s)\n", __LINE__, #condition, strerror(errno)); \
            exit(CAUGHT);                                                                        \
        }                                                                                        \
    } while (0)
enum { SOON = 1000000 }; /* nanoseconds */

static nshm_topic t;
static nshm_topic_window w;
static char buffer[20000], big[20000];

static void fresh(uint32_t history, uint32_t inline_max, uint32_t pins, uint32_t writers, uint64_t value_max) {
    start = starting(history, inline_max, pins, writers, value_max);
    make_topic(&t);
}
static int put(nshm_topic *to, uint64_t n) { return nshm_topic_publish(to, &n, sizeof n, 0, NULL); }
static int put_big(nshm_topic *to, uint64_t n) { /* 1,000 bytes, all of that number */
    for (int i = 0; i < 125; i++) memcpy(big + i * 8, &n, 8);
    return nshm_topic_publish(to, big, 1000, 0, NULL);
}
static int is(const void *data, uint64_t length, uint64_t n) { /* 8 bytes, or more, of that number */
    uint64_t word;
    for (uint64_t i = 0; i < length; i += 8)
        if (memcpy(&word, (const char *)data + i, 8), word != n) return 0;
    return length >= 8;
}
static int64_t get_after(const nshm_topic *from, uint64_t after, int64_t deadline) { /* the newest value's content, or an error */
    nshm_topic_window seen;
    uint64_t n;
    int r = nshm_topic_latest(from, after, buffer, sizeof buffer, &seen, deadline);
    if (r) return r;
    memcpy(&n, seen.data, 8);
    must(is(seen.data, seen.length, n));
    return (int64_t)n;
}
static int64_t get(void) { return get_after(&t, 0, 0); }
static pid_t child(void (*act)(void)) {
    pid_t pid = fork_known();
    if (pid < 0) broken("fork");
    if (!pid) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        act();
        _exit(0);
    }
    return pid;
}
static int ended(pid_t pid) { /* the exit status, or 128 and the signal */
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) broken("waitpid");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
static void die(void) { kill(getpid(), SIGKILL); }
static void until_asleep(int n) {
    while (nshm_topic_waiting(&t) < n) sched_yield();
}

/* ------------------------------------------------------------------------------------------------ values, sizes, limits */
static void the_newest_is_read(void) {
    fresh(4, 16, 0, 1, 16);
    must(get() == -EAGAIN && !nshm_topic_number(&t));
    for (uint64_t i = 1; i <= 20; i++) {
        uint64_t content = i * 7, number = 0;
        must(!nshm_topic_publish(&t, &content, 8, 0, &number) && number == i && get() == (int64_t)i * 7 && nshm_topic_number(&t) == i);
        must(nshm_topic_latest(&t, i, buffer, 16, &w, 0) == -EAGAIN);
        must(!nshm_topic_latest(&t, 0, buffer, 16, &w, 0) && w.number == i && w.missed == i - 1 && w.length == 8);
        must(w.time > 0 && w.time <= nshm_now() && w.data == buffer);
    }
    must(nshm_topic_lag(&t, 15) == 5 && nshm_topic_lag(&t, 20) == 0 && nshm_topic_lag(&t, 30) == 0);
}
static void the_next_is_read_and_what_was_missed_is_told(void) {
    uint64_t after = 0;
    for (uint32_t k = 0; k < 2; k++) { /* in the ring, in frames */
        fresh(4, k ? 0 : 1000, 0, 1, 1000);
        after = 0;
        for (uint64_t i = 1; i <= 3; i++) must(!put_big(&t, i));
        for (uint64_t i = 1; i <= 3; i++, after = w.number) {
            must(!nshm_topic_next(&t, after, buffer, sizeof buffer, &w, 0) && w.number == i && !w.missed && is(w.data, w.length, i));
            must(w.length == 1000);
        }
        must(nshm_topic_next(&t, after, buffer, sizeof buffer, &w, 0) == -EAGAIN);
        for (uint64_t i = 4; i <= 13; i++) must(!put_big(&t, i)); /* of 4 to 13, the last four are there */
        must(!nshm_topic_next(&t, after, buffer, sizeof buffer, &w, 0) && w.number == 10 && w.missed == 6 && is(w.data, w.length, 10));
        must(!nshm_topic_next(&t, 10, buffer, sizeof buffer, &w, 0) && w.number == 11 && !w.missed);
        must(!nshm_topic_latest(&t, 11, buffer, sizeof buffer, &w, 0) && w.number == 13 && w.missed == 1);
        nshm_topic_close(&t);
    }
}
static void every_length(void) {
    fresh(2, 40, 1, 1, 9000);
    for (int i = 0; i < 9000; i++) big[i] = (char)(i * 7 + 3);
    static const uint64_t lengths[] = {0, 1, 7, 8, 9, 39, 40, 41, 4095, 4096, 4097, 9000};
    for (unsigned i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        uint64_t n = lengths[i];
        must(!nshm_topic_publish(&t, big, n, 0, NULL));
        memset(buffer, 1, sizeof buffer);
        must(!nshm_topic_latest(&t, 0, buffer, n, &w, 0) && w.length == n && !memcmp(buffer, big, n) && buffer[n] == 1);
        if (n) must(nshm_topic_latest(&t, 0, buffer, n - 1, &w, 0) == -EMSGSIZE && w.length == n);
        must(!nshm_topic_latest(&t, 0, NULL, 0, &w, 0) && w.length == n && !memcmp(w.data, big, n) && nshm_topic_valid(&t, &w));
        must(!nshm_topic_pin(&t, 0, buffer, 40, &w, 0) && w.length == n && !memcmp(w.data, big, n) && nshm_topic_valid(&t, &w));
        must((w.data == buffer) == (n <= 40) && !nshm_topic_release(&t, &w) && !nshm_topic_release(&t, &w));
    }
    must(nshm_topic_publish(&t, big, 9001, 0, NULL) == -EMSGSIZE);
}
static void a_window_is_valid_until_it_is_overtaken(void) {
    for (uint32_t k = 0; k < 2; k++) {
        fresh(3, k ? 0 : 1000, 0, 1, 1000);
        must(!put_big(&t, 1) && !nshm_topic_latest(&t, 0, NULL, 0, &w, 0));
        for (uint64_t i = 2; i <= 4; i++) /* it is of the history up to 3; 4 may lie where it lay */
            must(nshm_topic_valid(&t, &w) && is(w.data, w.length, 1) && !put_big(&t, i));
        for (uint64_t i = 5; i <= 9; i++) must(!put_big(&t, i));
        must(!nshm_topic_valid(&t, &w));
        nshm_topic_close(&t);
    }
}
static void the_schema_travels_with_it(void) {
    static char schema[NSHM_TOPIC_SCHEMA_MAX];
    nshm_topic other;
    for (int i = 0; i < (int)sizeof schema; i++) schema[i] = (char)(i * 31 + 1);
    for (uint32_t n = 0; n <= sizeof schema; n = n * 5 + 1) {
        start = starting(2, 16, 2, 1, 100);
        start.schema_kind = NSHM_TOPIC_ARROW;
        start.schema_size = n;
        start.schema = n ? schema : NULL;
        make_topic(&t);
        open_topic(&other, NSHM_READONLY);
        must(other.schema_kind == NSHM_TOPIC_ARROW && other.schema_size == n && !memcmp(other.schema, schema, n));
        must(!put(&t, 3) && get_after(&other, 0, 0) == 3);
        nshm_topic_close(&other);
        nshm_topic_close(&t);
    }
    start.schema_size = sizeof schema + 1;
    must(nshm_topic_create(&scope, TOPIC_NAME, 0600, -1, 0, &start, &t) == -EINVAL);
    start.schema_size = 3;
    start.schema = NULL;
    must(nshm_topic_create(&scope, TOPIC_NAME, 0600, -1, 0, &start, &t) == -EINVAL);
}
static void wrong_arguments(void) {
    static const struct {
        uint32_t history, inline_max, pins, writers;
        uint64_t value_max;
    } wrong[] = {{0, 16, 1, 1, 16}, {65537, 16, 1, 1, 16}, {1, 4097, 1, 1, 16}, {1, 16, 65, 1, 16}, {1, 16, 1, 0, 16},
                 {1, 16, 1, 65, 16}, {1, 16, 1, 1, 0}, {1, 16, 1, 1, NSHM_TOPIC_VALUE_MAX + 1}};
    uint64_t size;
    for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        start = starting(wrong[i].history, wrong[i].inline_max, wrong[i].pins, wrong[i].writers, wrong[i].value_max);
        must(nshm_topic_size(&start, &size) == -EINVAL && nshm_topic_create(&scope, TOPIC_NAME, 0600, -1, 0, &start, &t) == -EINVAL);
    }
    start = starting(65536, 4096, 64, 64, NSHM_TOPIC_VALUE_MAX);
    must(!nshm_topic_size(&start, &size) && size > 65536 * NSHM_TOPIC_VALUE_MAX);
    start = starting(1, 16, 0, 1, 16);
    start.mode = 2;
    must(nshm_topic_create(&scope, TOPIC_NAME, 0600, -1, 0, &start, &t) == -EINVAL);
    start.mode = 0;
    must(nshm_topic_create(&scope, TOPIC_NAME, 0600, -1, NSHM_READONLY, &start, &t) == -EINVAL);
    fresh(1, 16, 0, 1, 16);
    must(nshm_topic_publish(&t, big, 8, -1, NULL) == -EINVAL && nshm_topic_latest(&t, 0, buffer, 16, &w, -1) == -EINVAL);
    must(nshm_topic_loan(&t, &w, 0) == -EINVAL && nshm_topic_pin(&t, 0, buffer, 16, &w, 0) == -EINVAL && nshm_topic_join(&t, 3) == -EINVAL);
    nshm_topic_close(&t);
    fresh(1, 16, 1, 1, 100);
    must(!nshm_topic_loan(&t, &w, 0) && nshm_topic_commit(&t, &w, 101, 0) == -EMSGSIZE && nshm_topic_commit(&t, &w, 1, -1) == -EINVAL);
    nshm_topic_window old = w;
    must(!nshm_topic_commit(&t, &w, 100, 0) && w.number == 1 && nshm_topic_commit(&t, &w, 100, 0) == -EINVAL);
    must(nshm_topic_commit(&t, &old, 100, 0) == -EINVAL && nshm_topic_abandon(&t, &old) == -EINVAL && nshm_topic_number(&t) == 1);
}
static void names_and_types(void) {
    nshm_handle section;
    nshm_topic other;
    nshm_topic_start different = starting(9, 99, 9, 9, 999);
    fresh(2, 16, 1, 1, 100);
    must(nshm_open(&scope, NSHM_SECTION, TOPIC_NAME, 0, &section) == -EBADMSG);
    must(nshm_topic_create(&scope, TOPIC_NAME, 0600, -1, NSHM_EXCLUSIVE, &different, &other) == -EEXIST);
    must(!nshm_topic_create(&scope, TOPIC_NAME, 0600, -1, 0, &different, &other) && !other.handle.created && other.history == 2);
    must(!put(&other, 5) && get() == 5);
    nshm_topic_close(&t);
    must(get_after(&other, 0, 0) == 5);
    nshm_topic_close(&other);
    must(nshm_topic_open(&scope, TOPIC_NAME, 0, &other) == -ENOENT);
    must(!nshm_create(&scope, NSHM_SECTION, TOPIC_NAME, 4096, 0600, -1, 0, 0, 0, NULL, NULL, &section));
    must(nshm_topic_open(&scope, TOPIC_NAME, 0, &other) == -EBADMSG);
    nshm_close(&section, 0);
}
/* A handle lives on in what was made of it: a second one, and one that was sent (parcels.h). */
static void handles_can_be_duplicated_and_sent(void) {
    nshm_topic second, third;
    nshm_parked parked;
    nshm_note note;
    fresh(2, 16, 1, 1, 100);
    must(!put(&t, 3) && !nshm_duplicate(&t.handle, 1, &second.handle) && !nshm__topic_begin(&second));
    must(!nshm_send(&scope, &second.handle, 0, "\0sent", 5, 0, &parked));
    nshm_topic_close(&t);
    must(get_after(&second, 0, 0) == 3 && put(&second, 4) == -EACCES);
    must(nshm_topic_latest(&second, 1, buffer, 16, &w, nshm_now() + SOON) == -ETIMEDOUT); /* it can say that it sleeps */
    nshm_topic_close(&second);
    pid_t pid = fork_known();
    if (!pid) {
        if (nshm_receive(&scope, &scope, "\0sent", 5, &third.handle, &note) || nshm__topic_begin(&third)) _exit(CAUGHT);
        _exit(get_after(&third, 0, 0) != 3 || nshm_topic_latest(&third, 1, buffer, 16, &w, nshm_now() + SOON) != -ETIMEDOUT);
    }
    while (!nshm_parcel_claimed(&parked)) sched_yield();
    must(!nshm_unsend(&parked, 1) && !ended(pid) && nshm_topic_open(&scope, TOPIC_NAME, 0, &t) == -ENOENT);
}
static void what_is_damaged_is_not_opened(void) {
    nshm_topic other;
    fresh(4, 16, 2, 2, 100);
    uint32_t *words = (uint32_t *)t.head;
    for (uint32_t i = 0; i < 80 / 4; i++) {
        uint32_t was = words[i];
        static const uint32_t values[] = {0, 0xffffffff, 0x80000000, 3};
        if (i == offsetof(nshm_topic_head, schema_kind) / 4 || i == offsetof(nshm_topic_head, spare) / 4) continue; /* they address nothing */
        for (unsigned k = 0; k < 4; k++) {
            words[i] = values[k];
            int r = nshm_topic_open(&scope, TOPIC_NAME, 0, &other);
            int fits = values[k] <= 3 && (i == offsetof(nshm_topic_head, inline_max) / 4 || i == offsetof(nshm_topic_head, schema_size) / 4 ||
                                          (i == offsetof(nshm_topic_head, value_max) / 4 && values[k])); /* nothing would lie beyond its end */
            must(was == values[k] || fits || r == (i == 2 ? -EPROTO : -EUCLEAN));
            if (!r) nshm_topic_close(&other);
        }
        words[i] = was;
    }
    must(!nshm_topic_open(&scope, TOPIC_NAME, 0, &other));
    nshm_topic_close(&other);
}
static void what_is_written_over_is_told(void) {
    fresh(4, 16, 1, 1, 100);
    must(!put(&t, 1) && !nshm_topic_publish(&t, big, 100, 0, NULL));
    nshm_topic_value *v = nshm__topic_value(&t, 2), was = *v;
    v->length = 101;
    must(nshm_topic_latest(&t, 0, buffer, sizeof buffer, &w, 0) == -EUCLEAN);
    *v = was;
    v->frame = t.frames;
    must(nshm_topic_latest(&t, 0, NULL, 0, &w, 0) == -EUCLEAN && nshm_topic_pin(&t, 0, NULL, 0, &w, 0) == -EUCLEAN);
    v->frame = NSHM_TOPIC_NONE - 1;
    must(nshm_topic_latest(&t, 0, NULL, 0, &w, 0) == -EUCLEAN && nshm_topic_pin(&t, 0, NULL, 0, &w, 0) == -EUCLEAN);
    v->frame = NSHM_TOPIC_NONE; /* then it is too long */
    must(nshm_topic_latest(&t, 0, buffer, sizeof buffer, &w, 0) == -EUCLEAN);
    *v = was;
    v->number = 7;
    must(nshm_topic_next(&t, 1, buffer, sizeof buffer, &w, 0) == -EUCLEAN);
    *v = was;
    t.frame[was.frame].state = 0;
    must(nshm_topic_latest(&t, 0, buffer, sizeof buffer, &w, 0) == -EUCLEAN && nshm_topic_pin(&t, 0, NULL, 0, &w, 0) == -EUCLEAN);
    must(!t.frame[was.frame].pins);
    t.frame[was.frame].state = 4;
    must(!nshm_topic_latest(&t, 0, buffer, sizeof buffer, &w, 0));
    must(!nshm_topic_loan(&t, &w, 0));
    t.frame[w.frame].state = 0;
    must(nshm_topic_commit(&t, &w, 8, 0) == -EUCLEAN && nshm_topic_abandon(&t, &w) == -EUCLEAN && nshm_topic_abandon(&t, &w) == -EINVAL);
    t.head->latest = ~0ULL << 1;
    must(nshm_topic_latest(&t, 0, buffer, sizeof buffer, &w, 0) == -EUCLEAN);
}
static void a_reader_writes_nothing(void) {
    nshm_topic mine;
    fresh(4, 16, 1, 1, 100);
    must(!put(&t, 1));
    open_topic(&mine, NSHM_READONLY);
    must(get_after(&mine, 0, 0) == 1 && put(&mine, 2) == -EACCES && nshm_topic_loan(&mine, &w, 0) == -EACCES);
    must(nshm_topic_pin(&mine, 0, buffer, 16, &w, 0) == -EACCES && nshm_topic_end(&mine) == -EACCES && nshm_topic_join(&mine, NSHM_WRITER) == -EACCES);
    must(nshm_topic_latest(&mine, 1, buffer, 16, &w, nshm_now() + SOON) == -ETIMEDOUT);
    nshm_topic_close(&mine);
}
static void it_can_be_looked_at_without_a_right(void) {
    nshm_topic mine;
    nshm_topic_statistics s;
    fresh(3, 16, 2, 2, 100);
    open_topic(&mine, NSHM_READONLY);
    nshm_topic_stat(&mine, &s);
    must(!s.published && !s.bytes && !s.time && s.free_frames == 8 && !s.loaned && !s.pinned && !s.ended && !nshm_topic_waiting(&mine));
    must(!put(&t, 1) && !nshm_topic_publish(&t, big, 100, 0, NULL));
    nshm_topic_window loan, pin;
    must(!nshm_topic_loan(&t, &loan, 0) && !nshm_topic_pin(&t, 0, NULL, 0, &pin, 0));
    nshm_topic_stat(&mine, &s);
    must(s.published == 2 && s.bytes == 108 && s.time && s.free_frames == 6 && s.loaned == 1 && s.pinned == 1);
    must(!nshm_topic_abandon(&t, &loan) && !nshm_topic_release(&t, &pin) && !nshm_topic_end(&t));
    nshm_topic_stat(&mine, &s);
    must(s.ended && s.free_frames == 7);
    nshm_topic_close(&mine);
}

/* ------------------------------------------------------------------------------------------------ loans and pins */
static void what_is_filled_is_published_when_it_is_committed(void) {
    nshm_topic_window first, second;
    fresh(2, 0, 0, 2, 100);
    must(!nshm_topic_loan(&t, &first, 0) && first.length == 100 && !nshm_topic_loan(&t, &second, 0) && first.data != second.data);
    must(nshm_topic_loan(&t, &w, 0) == -EAGAIN && nshm_topic_loan(&t, &w, nshm_now() + SOON) == -ETIMEDOUT); /* two at one time */
    memcpy(first.data, (uint64_t[]){1}, 8);
    memcpy(second.data, (uint64_t[]){2}, 8);
    must(get() == -EAGAIN && !nshm_topic_commit(&t, &second, 8, 0) && second.number == 1 && get() == 2);
    must(!nshm_topic_commit(&t, &first, 8, 0) && first.number == 2 && get() == 1);
    must(!nshm_topic_loan(&t, &first, 0) && !nshm_topic_abandon(&t, &first) && get() == 1 && !left_over(&t));
    for (uint64_t i = 0; i < 50; i++) { /* whatever is being filled, the history is there */
        must(!put(&t, i) && !nshm_topic_loan(&t, &first, 0) && !nshm_topic_loan(&t, &second, 0));
        must(!nshm_topic_next(&t, 0, buffer, 100, &w, 0) && w.number == nshm_topic_number(&t) - 1 && get() == (int64_t)i);
        must(!nshm_topic_abandon(&t, &first) && !nshm_topic_abandon(&t, &second));
    }
}
static void what_is_pinned_stays(void) {
    nshm_topic_window pins[3];
    fresh(2, 0, 3, 1, 1000);
    for (uint64_t i = 0; i < 3; i++) must(!put_big(&t, i) && !nshm_topic_pin(&t, 0, NULL, 0, &pins[i], 0) && pins[i].number == i + 1);
    must(nshm_topic_pin(&t, 0, NULL, 0, &w, 0) == -ENFILE);
    for (uint64_t i = 3; i < 60; i++) {
        must(!put_big(&t, i) && get() == (int64_t)i);
        for (uint64_t k = 0; k < 3; k++) must(is(pins[k].data, 1000, k) && nshm_topic_valid(&t, &pins[k]));
    }
    must(!nshm_topic_release(&t, &pins[1]) && !nshm_topic_pin_next(&t, 0, NULL, 0, &w, 0) && w.number == 59 && w.missed == 58);
    for (uint64_t i = 60; i < 90; i++) must(!put_big(&t, i));
    must(is(w.data, 1000, 58) && is(pins[0].data, 1000, 0) && is(pins[2].data, 1000, 2));
    nshm_topic_window again = w;
    must(!nshm_topic_release(&t, &w) && nshm_topic_release(&t, &again) == -EINVAL);
    must(!nshm_topic_release(&t, &pins[0]) && !nshm_topic_release(&t, &pins[2]) && !left_over(&t));
}
static void who_closes_gives_back_what_it_holds(void) {
    nshm_topic mine;
    fresh(1, 0, 2, 2, 100);
    must(!put(&t, 1));
    open_topic(&mine, 0);
    nshm_topic_window loan, pin;
    must(!nshm_topic_loan(&mine, &loan, 0) && !nshm_topic_pin(&mine, 0, NULL, 0, &pin, 0) && left_over(&t) == 4);
    nshm_topic_close(&mine);
    must(!left_over(&t));
}
static _Atomic int *told;
static void hold_both_and_stop(void) {
    nshm_topic mine;
    nshm_topic_window loan, pin;
    open_topic(&mine, 0);
    if (nshm_topic_pin(&mine, 0, NULL, 0, &pin, 0) || nshm_topic_loan(&mine, &loan, 0)) _exit(CAUGHT);
    *told = 1;
    raise(SIGSTOP);
    if (!is(pin.data, 1000, 1)) _exit(CAUGHT);
    memset(loan.data, 0, 1000);
    if (nshm_topic_commit(&mine, &loan, 1000, 0) || nshm_topic_release(&mine, &pin)) _exit(CAUGHT);
    nshm_topic_close(&mine);
}
static void who_is_stopped_stands_in_nobodys_way(void) {
    int status;
    told = shared_memory(sizeof *told);
    fresh(2, 0, 2, 2, 1000);
    must(!put_big(&t, 1));
    pid_t pid = child(hold_both_and_stop);
    must(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status) && *told);
    for (uint64_t i = 2; i < 200; i++) { /* everything goes on, also with a loan and a pin of others */
        nshm_topic_window loan, pin;
        must(!put_big(&t, i) && get() == (int64_t)i && !nshm_topic_pin(&t, 0, NULL, 0, &pin, 0));
        must(!nshm_topic_loan(&t, &loan, 0) && !nshm_topic_abandon(&t, &loan) && !nshm_topic_release(&t, &pin));
    }
    must(nshm__topic_sweep(&t) == 0); /* it is not dead */
    must(!kill(pid, SIGCONT) && !ended(pid) && nshm_topic_number(&t) == 200 && get() == 0 && !left_over(&t));
}

/* ------------------------------------------------------------------------------------------------ waiting */
static void wait_for_the_first(void) {
    nshm_topic mine;
    open_topic(&mine, NSHM_READONLY);
    if (get_after(&mine, 0, INT64_MAX) != 11) _exit(CAUGHT);
    nshm_topic_close(&mine);
}
static void wait_for_the_second(void) {
    nshm_topic mine;
    open_topic(&mine, NSHM_READONLY);
    if (nshm_topic_next(&mine, 1, buffer, sizeof buffer, &w, INT64_MAX) || w.number != 2) _exit(CAUGHT);
    nshm_topic_close(&mine);
}
static void all_who_wait_are_woken(void) {
    enum { MANY = 24 };
    pid_t pids[MANY];
    fresh(4, 16, 0, 1, 16);
    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < MANY; i++) pids[i] = child(k ? wait_for_the_second : wait_for_the_first);
        until_asleep(MANY);
        must(!put(&t, 11));
        for (int i = 0; i < MANY; i++) must(!ended(pids[i]));
    }
    uint32_t served = t.head->served;
    must(!put(&t, 12) && t.head->served != served); /* nobody sleeps: from now on no system call is made */
    must(t.head->served == *t.wishes);
}
static void wait_for_all_of_them(void) { /* each value wakes: numbers whose lower five bits are the same, too */
    nshm_topic mine;
    open_topic(&mine, NSHM_READONLY);
    for (uint64_t after = 0; after < 100; after = w.number)
        if (nshm_topic_latest(&mine, after, buffer, sizeof buffer, &w, INT64_MAX) || w.number != after + 1) _exit(CAUGHT);
    nshm_topic_close(&mine);
}
static void each_value_wakes_who_waits(void) {
    pid_t pids[3];
    fresh(4, 16, 0, 1, 16);
    for (int i = 0; i < 3; i++) pids[i] = child(wait_for_all_of_them);
    for (uint64_t i = 0; i < 100; i++) {
        until_asleep(3);
        must(!put(&t, i));
    }
    for (int i = 0; i < 3; i++) must(!ended(pids[i]));
}
/* A wake-up that finds nobody: who has the new value already, and lies down between the change and the wake-up, is not served by it. */
static _Atomic int *turn;
static void wait_for_turn(int n) {
    while (*turn != n) sched_yield();
}
static void stop_before_sleeping(const char *what) {
    if (strcmp(what, "sleeping")) return;
    *turn = 2;
    wait_for_turn(3);
}
static void lie_down_while_others_are_woken(void) {
    nshm_topic mine;
    open_topic(&mine, NSHM_READONLY);
    wait_for_turn(1);
    at_step = stop_before_sleeping;
    if (get_after(&mine, 2, INT64_MAX) != 33) _exit(CAUGHT);
    nshm_topic_close(&mine);
}
static void stop_before_waking(const char *what) {
    if (strcmp(what, "waking")) return;
    at_step = NULL;
    *turn = 1;
    wait_for_turn(2);
}
static void who_lies_down_between_a_change_and_its_wake_up_is_woken(void) {
    turn = shared_memory(sizeof *turn);
    fresh(4, 16, 0, 1, 16);
    must(!put(&t, 11) && get_after(&t, 1, nshm_now() + SOON) == -ETIMEDOUT); /* there is a wish, so the next value wakes */
    pid_t pid = child(lie_down_while_others_are_woken);
    at_step = stop_before_waking;
    must(!put(&t, 22));
    *turn = 3;
    until_asleep(1);
    must(!put(&t, 33) && !nshm_topic_waiting(&t) && !ended(pid));
}
static void on_signal(int signal) { (void)signal; }
static void wait_and_be_interrupted(void) {
    struct sigaction act = {.sa_handler = on_signal};
    sigaction(SIGUSR1, &act, NULL);
    if (nshm_topic_latest(&t, 1, buffer, 16, &w, INT64_MAX) != -EINTR) _exit(CAUGHT);
}
static void a_signal_ends_a_wait(void) {
    fresh(4, 16, 0, 1, 16);
    must(!put(&t, 1));
    pid_t pid = child(wait_and_be_interrupted);
    until_asleep(1);
    kill(pid, SIGUSR1);
    must(!ended(pid));
}
static int answer;
static void publish_in_a_handler(int signal) {
    (void)signal;
    nshm_topic_window seen;
    answer = put(&t, 2);
    if (nshm_topic_latest(&t, 0, buffer, 16, &seen, 0)) answer = 1; /* who only reads needs no lock */
}
static void a_signal_handler_is_told_what_it_interrupted(void) {
    struct sigaction act = {.sa_handler = publish_in_a_handler};
    fresh(4, 16, 0, 1, 16);
    must(!put(&t, 1));
    sigaction(SIGUSR1, &act, NULL);
    must(!nshm__topic_lock(&t.head->lock, 0));
    raise(SIGUSR1);
    nshm__topic_unlock(&t.head->lock);
    must(answer == -EDEADLK && nshm_topic_number(&t) == 1);
    raise(SIGUSR1);
    must(answer == 0 && get() == 2);
}

/* ------------------------------------------------------------------------------------------------ the end */
static void wait_for_the_end(void) {
    nshm_topic mine;
    open_topic(&mine, NSHM_READONLY);
    if (nshm_topic_next(&mine, 1, buffer, 16, &w, INT64_MAX) != -EPIPE) _exit(CAUGHT);
    nshm_topic_close(&mine);
}
static void what_is_ended_is_told(void) {
    pid_t pids[3];
    fresh(4, 16, 1, 1, 100);
    must(!put(&t, 1) && !nshm_topic_loan(&t, &w, 0));
    for (int i = 0; i < 3; i++) pids[i] = child(wait_for_the_end);
    until_asleep(3);
    must(!nshm_topic_end(&t) && !nshm_topic_end(&t));
    for (int i = 0; i < 3; i++) must(!ended(pids[i]));
    must(put(&t, 2) == -EPIPE && nshm_topic_commit(&t, &w, 8, 0) == -EPIPE && !nshm_topic_abandon(&t, &w));
    must(get() == 1 && get_after(&t, 1, 0) == -EPIPE && get_after(&t, 1, INT64_MAX) == -EPIPE); /* what is there can be read on */
}
static void publish_and_die(void) {
    nshm_topic mine;
    open_topic(&mine, 0);
    if (put(&mine, 1)) _exit(CAUGHT);
    die();
}
static void publish_and_leave(void) {
    nshm_topic mine;
    open_topic(&mine, 0);
    if (put(&mine, 1)) _exit(CAUGHT);
    while (nshm_topic_waiting(&mine) < 1) sched_yield();
    nshm_topic_close(&mine);
}
static void it_ends_with_its_writers(void) {
    start = starting(4, 16, 0, 1, 16);
    start.mode = NSHM_TOPIC_ENDS;
    make_topic(&t);
    must(get() == -EAGAIN && get_after(&t, 0, nshm_now() + SOON) == -ETIMEDOUT); /* there was none yet */
    pid_t pid = child(publish_and_leave);
    must(get_after(&t, 0, INT64_MAX) == 1 && get_after(&t, 1, INT64_MAX) == -EPIPE && !ended(pid)); /* who leaves says so */
    must(ended(child(publish_and_die)) == 128 + SIGKILL);
    must(get_after(&t, 1, INT64_MAX) == 1 && get_after(&t, 2, INT64_MAX) == -EPIPE); /* the kernel says so */
    must(!put(&t, 2) && get() == 2 && get_after(&t, 3, 0) == -EAGAIN); /* we are one ourselves now */
}
static void wait_for_the_gone(void) {
    nap = 20000000;
    must(get_after(&t, 1, INT64_MAX) == -EPIPE);
}
static void publish_and_wait_to_be_killed(void) {
    nshm_topic mine;
    open_topic(&mine, 0);
    if (put(&mine, 1)) _exit(CAUGHT);
    for (;;) pause();
}
static void who_sleeps_finds_that_all_writers_were_killed(void) {
    start = starting(4, 16, 0, 1, 16);
    start.mode = NSHM_TOPIC_ENDS;
    make_topic(&t);
    pid_t writer = child(publish_and_wait_to_be_killed);
    must(get_after(&t, 0, INT64_MAX) == 1);
    pid_t reader = child(wait_for_the_gone);
    until_asleep(1);
    kill(writer, SIGKILL);
    must(ended(writer) == 128 + SIGKILL && !ended(reader));
}

/* ------------------------------------------------------------------------------------------------ who takes part */
static void participants_are_told(void) {
    nshm_topic other;
    nshm_topic_participant p;
    uint32_t cursor = 0;
    fresh(2, 16, 2, 2, 100);
    must(nshm_topic_next_participant(&t, &cursor, &p) == -ENOENT && !put(&t, 1) && !nshm_topic_publish(&t, big, 100, 0, NULL));
    open_topic(&other, 0);
    must(!nshm_topic_pin(&other, 0, NULL, 0, &w, 0));
    cursor = 0;
    must(!nshm_topic_next_participant(&t, &cursor, &p) && p.role == NSHM_PINNER && p.pid == getpid() && p.lives == 1);
    must(!nshm_topic_next_participant(&t, &cursor, &p) && p.role == NSHM_WRITER && p.lives == 1);
    must(nshm_topic_next_participant(&t, &cursor, &p) == -ENOENT);
    nshm_topic_close(&other);
    must(ended(child(publish_and_die)) == 128 + SIGKILL);
    cursor = 0;
    must(!nshm_topic_next_participant(&t, &cursor, &p) && p.lives == 1);
    must(!nshm_topic_next_participant(&t, &cursor, &p) && p.role == NSHM_WRITER && p.lives == 0 && p.pid != getpid());
    must(nshm_topic_next_participant(&t, &cursor, &p) == -ENOENT);
}
static void hold_both_and_die(void) {
    nshm_topic mine;
    nshm_topic_window loan, pin;
    open_topic(&mine, 0);
    if (nshm_topic_pin(&mine, 0, NULL, 0, &pin, 0) || nshm_topic_loan(&mine, &loan, 0)) _exit(CAUGHT);
    die();
}
static void the_dead_keep_nothing(void) {
    fresh(2, 0, 2, 2, 1000);
    must(!put_big(&t, 1));
    for (uint64_t i = 2; i < 30; i++) { /* places of four, frames of seven */
        must(ended(child(hold_both_and_die)) == 128 + SIGKILL);
        must(!put_big(&t, i) && get() == (int64_t)i);
    }
    must(nshm__topic_sweep(&t) > 0 && !left_over(&t) && nshm__topic_sweep(&t) == 0);
}
/* Killed after it has given its frame a number, and before the value exists, again and again. */
static void be_killed_before_it_exists(void) {
    nshm_topic mine;
    open_topic(&mine, 0);
    if (nshm_topic_loan(&mine, &w, 0) || nshm__topic_lock(&mine.head->lock, 0)) _exit(CAUGHT);
    uint64_t number = nshm_topic_number(&mine) + 1;
    nshm_topic_value *v = nshm__topic_value(&mine, number);
    v->number = 0;
    v->frame = w.frame;
    v->number = number;
    mine.frame[w.frame].state = number << 1;
    die();
}
static void frames_of_values_that_never_were_come_back(void) {
    fresh(8, 0, 0, 2, 1000);
    for (uint64_t i = 1; i < 40; i++) { /* without a sweep, the history would need twice its frames */
        must(ended(child(be_killed_before_it_exists)) == 128 + SIGKILL);
        must(!put_big(&t, i) && get() == (int64_t)i && nshm_topic_number(&t) == i);
    }
    must(nshm__topic_sweep(&t) >= 0 && !unnamed(&t) && !left_over(&t));
}
static nshm_topic_window inherited_loan, inherited_pin;
static void use_inherited(void) {
    if (nshm_topic_release(&t, &inherited_pin) != -EINVAL || nshm_topic_abandon(&t, &inherited_loan) != -EINVAL) _exit(CAUGHT); /* the parent's */
    if (put_big(&t, 2) || get() != 2 || nshm_topic_pin(&t, 0, NULL, 0, &w, 0)) _exit(CAUGHT); /* as itself */
    if (nshm_topic_release(&t, &inherited_pin) != -EINVAL || nshm_topic_abandon(&t, &inherited_loan) != -EINVAL) _exit(CAUGHT);
    die();
}
static void a_forked_child_takes_part_as_itself(void) {
    fresh(2, 0, 2, 2, 1000);
    must(!put_big(&t, 1) && !nshm_topic_pin(&t, 0, NULL, 0, &inherited_pin, 0) && !nshm_topic_loan(&t, &inherited_loan, 0));
    must(ended(child(use_inherited)) == 128 + SIGKILL);
    must(get() == 2 && is(inherited_pin.data, 1000, 1) && !nshm_topic_release(&t, &inherited_pin) && !nshm_topic_commit(&t, &inherited_loan, 8, 0));
    must(nshm__topic_sweep(&t) > 0 && !left_over(&t));
}
enum { STRANGER = 4321 };
static nshm_scope global, of_another;
static void become_a_stranger(void) {
    if (setgid(STRANGER) || setuid(STRANGER)) _exit(BROKEN);
    nshm_scope_init(&of_another, NSHM_GLOBAL, "topics", -1, 0); /* who may not create there, and so not lock the registry */
}
static void read_as_another_user(void) {
    nshm_topic mine;
    become_a_stranger();
    if (nshm_topic_open(&of_another, TOPIC_NAME, 0, &mine) != -EACCES) _exit(CAUGHT);
    if (nshm_topic_open(&of_another, TOPIC_NAME, NSHM_READONLY, &mine)) _exit(CAUGHT);
    for (uint64_t after = 0; after < 20; after = w.number)
        if (nshm_topic_latest(&mine, after, buffer, sizeof buffer, &w, INT64_MAX) || w.number != after + 1) _exit(CAUGHT);
    if (nshm_topic_next(&mine, 20, buffer, 16, &w, INT64_MAX) != -EPIPE) _exit(CAUGHT);
    nshm_topic_close(&mine);
}
static void write_as_another_user(void) {
    nshm_topic mine;
    become_a_stranger();
    if (nshm_topic_open(&of_another, TOPIC_NAME, 0, &mine) || put_big(&mine, 5) || nshm_topic_loan(&mine, &w, 0)) _exit(CAUGHT);
    die();
}
static void be_refused(void) {
    nshm_topic mine;
    become_a_stranger();
    if (nshm_topic_open(&of_another, TOPIC_NAME, NSHM_READONLY, &mine) != -EACCES) _exit(CAUGHT);
}
static int rights_of(int id) {
    struct shmid_ds d;
    return shmctl(id, IPC_STAT, &d) ? -1 : (int)(d.shm_perm.mode & 0777 & ~NSHM_MARK);
}
static void others_read_in_global_and_are_woken(void) {
    nshm_topic_participant p;
    uint32_t cursor = 0;
    if (geteuid() || !isolated) return; /* needs root, and a world of its own */
    nshm_scope_init(&global, NSHM_GLOBAL, "topics", -1, 1);
    start = starting(8, 0, 1, 2, 1000);
    must(!nshm_topic_create(&global, TOPIC_NAME, 0644, -1, NSHM_EXCLUSIVE, &start, &t));
    must(rights_of(t.handle.data_id) == 0644 && rights_of(t.handle.token_id) == 0666); /* they may say that they sleep, and nothing else */
    pid_t pid = child(read_as_another_user);
    for (uint64_t i = 0; i < 20; i++) {
        until_asleep(1);
        must(!put_big(&t, i));
    }
    until_asleep(1);
    must(!nshm_topic_end(&t) && !ended(pid));
    nshm_topic_close(&t);
    must(!nshm_topic_create(&global, TOPIC_NAME, 0600, -1, NSHM_EXCLUSIVE, &start, &t) && rights_of(t.handle.token_id) == 0600);
    must(!ended(child(be_refused)));
    nshm_topic_close(&t);
    must(!nshm_topic_create(&global, TOPIC_NAME, 0666, -1, NSHM_EXCLUSIVE, &start, &t));
    must(ended(child(write_as_another_user)) == 128 + SIGKILL && get() == 5);
    must(!nshm_topic_next_participant(&t, &cursor, &p) && p.lives == 0 && p.maker == STRANGER);
    must(nshm__topic_sweep(&t) == 2 && !left_over(&t));
    nshm_topic_close(&t);
    nshm_scope_release(&global);
}
static void in_another_ipc_namespace(void) {
    if (unshare(CLONE_NEWIPC)) _exit(77);
    if (get() != 1 || put(&t, 2) != -EXDEV) _exit(CAUGHT); /* it would take part as itself, which nobody could see */
    if (nshm__topic_sweep(&t)) _exit(CAUGHT);              /* and who is there, it cannot tell */
}
static void nobody_is_taken_for_dead_from_elsewhere(void) {
    fresh(4, 16, 0, 1, 16);
    must(!put(&t, 1));
    int r = ended(child(in_another_ipc_namespace));
    must((r == 0 || r == 77) && t.places[0].word && !put(&t, 3));
}

static const struct {
    const char *name;
    void (*check)(void);
} checks[] = {
#define CHECK(name) {#name, name}
    CHECK(the_newest_is_read), CHECK(the_next_is_read_and_what_was_missed_is_told), CHECK(every_length),
    CHECK(a_window_is_valid_until_it_is_overtaken), CHECK(the_schema_travels_with_it), CHECK(wrong_arguments), CHECK(names_and_types),
    CHECK(handles_can_be_duplicated_and_sent), CHECK(what_is_damaged_is_not_opened), CHECK(what_is_written_over_is_told),
    CHECK(a_reader_writes_nothing), CHECK(it_can_be_looked_at_without_a_right), CHECK(what_is_filled_is_published_when_it_is_committed),
    CHECK(what_is_pinned_stays), CHECK(who_closes_gives_back_what_it_holds), CHECK(who_is_stopped_stands_in_nobodys_way),
    CHECK(all_who_wait_are_woken), CHECK(each_value_wakes_who_waits),
    CHECK(who_lies_down_between_a_change_and_its_wake_up_is_woken), CHECK(a_signal_ends_a_wait),
    CHECK(a_signal_handler_is_told_what_it_interrupted), CHECK(what_is_ended_is_told), CHECK(it_ends_with_its_writers),
    CHECK(who_sleeps_finds_that_all_writers_were_killed), CHECK(participants_are_told), CHECK(the_dead_keep_nothing),
    CHECK(frames_of_values_that_never_were_come_back), CHECK(a_forked_child_takes_part_as_itself),
    CHECK(others_read_in_global_and_are_woken), CHECK(nobody_is_taken_for_dead_from_elsewhere),
};
enum { CHECKS = sizeof checks / sizeof *checks };

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "";
    if (!strcmp(name, "list")) {
        for (int i = 0; i < CHECKS; i++) puts(checks[i].name);
        return 0;
    }
    for (int i = 0; i < CHECKS; i++) {
        if (strcmp(name, checks[i].name)) continue;
        enter_own_world();
        begin_scope("operations");
        checks[i].check();
        nshm_scope_release(&scope);
        leftovers left = find_leftovers(NSHM_REGISTRY_SIZE, NSHM_REGISTRY_SPAN);
        must(!left.strays && !left.keyed);
        return 0;
    }
    return BROKEN;
}
