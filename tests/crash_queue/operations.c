/* operations.c - what namedshm_queue.h promises, one promise after the other, in one process and its children.
 *
 *   operations NAME    one of them
 *   operations list    their names
 */
#include "queues.h"

#define must(condition)                                                                          \
    do {                                                                                         \
        if (!(condition)) {                                                                      \
            fprintf(stderr, "line %d: %s (errno %s)\n", __LINE__, #condition, strerror(errno)); \
            exit(CAUGHT);                                                                        \
        }                                                                                        \
    } while (0)
enum { SOON = 1000000, LATER = 50000000 }; /* nanoseconds */

static nshm_queue q;
static nshm_queue_window w;
static char buffer[4096], big[20000];

static void fresh(uint32_t capacity, uint32_t inline_max, uint32_t chunks, uint32_t mode, uint64_t message_max) {
    start = starting(capacity, inline_max, chunks, mode, message_max);
    make_queue(&q);
}
static int put(nshm_queue *to, uint64_t n) { return nshm_queue_put(to, &n, sizeof n, 0); }
static int64_t get_from(nshm_queue *from) { /* the number of the next message, or an error */
    nshm_queue_window taken;
    uint64_t n;
    int r = nshm_queue_take(from, buffer, sizeof buffer, &taken, 0);
    if (r) return r;
    must(taken.length >= sizeof n);
    memcpy(&n, taken.data, sizeof n);
    must(!nshm_queue_release(from, &taken));
    return (int64_t)n;
}
static int64_t get(void) { return get_from(&q); }
static pid_t child(void (*act)(void)) {
    pid_t pid = fork_known();
    if (pid < 0) broken("fork");
    if (!pid) {
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

/* ------------------------------------------------------------------------------------------------ order, sizes, limits */
static void first_in_first_out(void) {
    fresh(4, 16, 0, 0, 16);
    for (uint64_t lap = 0; lap < 5; lap++) {
        for (uint64_t i = 0; i < 4; i++) must(!put(&q, lap * 4 + i));
        must(put(&q, 99) == -EAGAIN && nshm_queue_count(&q) == 4);
        for (uint64_t i = 0; i < 4; i++) must(get() == (int64_t)(lap * 4 + i));
        must(get() == -EAGAIN && nshm_queue_count(&q) == 0);
    }
}
static void every_length(void) {
    fresh(4, 16, 3, 0, 5000);
    for (uint64_t n = 0; n <= 5000; n += n < 40 ? 1 : 331) {
        for (uint64_t i = 0; i < n; i++) big[i] = (char)(n + i * 7);
        must(!nshm_queue_put(&q, big, n, 0));
        must(!nshm_queue_take(&q, buffer, 16, &w, 0));
        must(w.length == n && !memcmp(w.data, big, n) && (w.chunk == NSHM_QUEUE_NONE) == (n <= 16));
        must(!nshm_queue_release(&q, &w) && !nshm_queue_release(&q, &w));
    }
    must(nshm_queue_put(&q, big, 5001, 0) == -EMSGSIZE);
    must(!nshm_queue_put(&q, big, 10, 0) && nshm_queue_take(&q, buffer, 9, &w, 0) == -EMSGSIZE && w.length == 10);
    must(!nshm_queue_take(&q, buffer, 10, &w, 0));
}
static void several_at_once(void) {
    uint64_t n[6] = {0, 1, 2, 3, 4, 5}, lengths[6] = {8, 8, 8, 1000, 8, 2000};
    const void *from[6];
    nshm_queue_window windows[8];
    fresh(8, 16, 4, 0, 4000);
    for (int i = 0; i < 6; i++) from[i] = memcpy(big + i * 2000, &n[i], 8);
    must(nshm_queue_put_many(&q, from, lengths, 6, 0) == 3);
    must(nshm_queue_put_many(&q, from + 3, lengths + 3, 3, 0) == 1);
    must(nshm_queue_put_many(&q, from + 4, lengths + 4, 2, 0) == 1);
    must(nshm_queue_put_many(&q, from + 5, lengths + 5, 1, 0) == 1);
    must(nshm_queue_take_many(&q, buffer, 16, windows, 8, 0) == 2); /* no room for the third */
    must(nshm_queue_take_many(&q, buffer, sizeof buffer, windows + 2, 6, 0) == 4);
    for (int i = 0; i < 6; i++) {
        must(windows[i].length == lengths[i] && windows[i].position == (uint64_t)i && (i < 2 || !memcmp(windows[i].data, &n[i], 8)));
        must(!nshm_queue_release(&q, &windows[i]));
    }
    must(nshm_queue_take_many(&q, buffer, sizeof buffer, windows, 8, 0) == -EAGAIN && !left_over(&q));
}
static void wrong_arguments(void) {
    nshm_queue reader;
    nshm_queue_start wrong[] = {
        {3, 16, 0, 8, 0, 16}, {0, 16, 0, 8, 0, 16}, {1u << 25, 16, 0, 8, 0, 16}, {4, 7, 0, 8, 0, 7}, {4, 5000, 0, 8, 0, 16}, {4, 16, 0, 0, 0, 16},
        {4, 16, 0, 5000, 0, 16}, {4, 16, 0, 8, 0, 17}, {4, 16, 0, 8, NSHM_QUEUE_ACK, 16}, {4, 16, 70000, 8, 0, 17}, {4, 16, 1, 8, 0, 1ull << 41},
        {4, 16, 0, 8, 8, 16}, {4, 16, 0, 8, 0, 0},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        must(nshm_queue_create(&scope, QUEUE_NAME, 0600, -1, NSHM_EXCLUSIVE, &wrong[i], &q) == -EINVAL);
    must(nshm_queue_open(&scope, QUEUE_NAME, 0, &q) == -ENOENT);
    fresh(4, 16, 1, 0, 100);
    must(nshm_queue_put(&q, big, 8, -1) == -EINVAL && nshm_queue_take(&q, buffer, 16, &w, -1) == -EINVAL && nshm_queue_join(&q, 4) == -EINVAL);
    w.chunk = 7;
    must(nshm_queue_commit(&q, &w, 1, 0) == -EINVAL && nshm_queue_abandon(&q, &w) == -EINVAL && nshm_queue_return(&q, &w) == -EINVAL);
    w.chunk = 0;
    must(nshm_queue_commit(&q, &w, 1, 0) == -EUCLEAN && nshm_queue_abandon(&q, &w) == -EUCLEAN); /* not ours */
    must(nshm_queue_shut_down(&q, 3) == -EINVAL);
    must(!nshm_queue_open(&scope, QUEUE_NAME, NSHM_READONLY, &reader));
    must(nshm_queue_put(&reader, big, 8, 0) == -EACCES && nshm_queue_take(&reader, buffer, 16, &w, 0) == -EACCES);
    must(nshm_queue_shut_down(&reader, NSHM_QUEUE_STOP) == -EACCES);
    nshm_queue_close(&reader);
    must(!put(&q, 1) && get() == 1);
}

/* ------------------------------------------------------------------------------------------------ names */
static void names_and_types(void) {
    nshm_queue other;
    nshm_handle section;
    start = starting(4, 16, 0, 0, 16);
    must(nshm_queue_open(&scope, QUEUE_NAME, 0, &q) == -ENOENT);
    must(!nshm_queue_create(&scope, QUEUE_NAME, 0600, -1, 0, &start, &q) && q.handle.created);
    must(!put(&q, 5));
    must(nshm_queue_create(&scope, QUEUE_NAME, 0600, -1, NSHM_EXCLUSIVE, &start, &other) == -EEXIST);
    start.capacity = 64;
    must(!nshm_queue_create(&scope, QUEUE_NAME, 0600, -1, 0, &start, &other) && !other.handle.created && other.capacity == 4);
    must(nshm_open(&scope, NSHM_SECTION, QUEUE_NAME, 0, &section) == -EBADMSG);
    must(get_from(&other) == 5 && !put(&other, 6));
    nshm_queue_close(&q);
    must(get_from(&other) == 6);
    nshm_queue_close(&other);
    must(nshm_queue_open(&scope, QUEUE_NAME, 0, &q) == -ENOENT);
    must(!nshm_create(&scope, NSHM_SECTION, QUEUE_NAME, 4096, 0600, -1, 0, 0, 0, NULL, NULL, &section));
    must(nshm_queue_open(&scope, QUEUE_NAME, 0, &q) == -EBADMSG);
    nshm_close(&section, 0);
}
static void what_is_damaged_is_not_opened(void) {
    nshm_queue other;
    fresh(4, 16, 2, 0, 100);
    struct { void *at; uint32_t bytes; int error; } fields[] = {
        {&q.head->magic, 8, -EUCLEAN}, {&q.head->version, 4, -EPROTO}, {&q.head->mode, 4, -EUCLEAN}, {&q.head->capacity, 4, -EUCLEAN},
        {&q.head->inline_max, 4, -EUCLEAN}, {&q.head->stride, 4, -EUCLEAN}, {&q.head->chunks, 4, -EUCLEAN}, {&q.head->participants, 4, -EUCLEAN},
        {&q.head->message_max, 8, -EUCLEAN}, {&q.head->chunk_size, 8, -EUCLEAN}, {&q.head->size, 8, -EUCLEAN},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        uint64_t before = 0, damaged;
        memcpy(&before, fields[i].at, fields[i].bytes);
        for (int k = 0; k < 3; k++) {
            damaged = k == 0 ? ~before : k == 1 ? before << 16 : before + (before ? 0x10000000 : 64);
            memcpy(fields[i].at, &damaged, fields[i].bytes);
            if (!memcmp(fields[i].at, &before, fields[i].bytes)) continue;
            must(nshm_queue_open(&scope, QUEUE_NAME, 0, &other) == fields[i].error);
        }
        memcpy(fields[i].at, &before, fields[i].bytes);
    }
    must(!nshm_queue_open(&scope, QUEUE_NAME, 0, &other));
    nshm_queue_close(&other);
}

static void what_is_written_over_is_told(void) {
    fresh(4, 16, 2, 0, 100);
    must(!put(&q, 1));
    uint64_t *slot = nshm__queue_slot(&q, 0), header = *slot, owner;
    *slot = header + 9; /* 17 bytes */
    must(nshm_queue_take(&q, buffer, sizeof buffer, &w, 0) == -EUCLEAN);
    *slot = header;
    must(get() == 1 && !nshm_queue_put(&q, big, 100, 0));
    slot = nshm__queue_slot(&q, 1);
    *nshm__queue_named(slot) = 2; /* there are two */
    must(get() == -EUCLEAN);
    *nshm__queue_named(slot) = 0;
    q.chunk[0].length = 101;
    must(get() == -EUCLEAN);
    q.chunk[0].length = 100;
    owner = q.chunk[0].owner;
    q.chunk[0].owner = 0;
    must(get() == -EUCLEAN);
    q.chunk[0].owner = owner;
    must(!nshm_queue_take(&q, buffer, sizeof buffer, &w, 0));
    q.chunk[0].owner = owner;
    must(nshm_queue_release(&q, &w) == -EUCLEAN);
    q.head->put.cursor += 100;
    must(put(&q, 1) == -EUCLEAN);
    q.head->put.cursor -= 100;
    q.head->put.lock = 0x123456; /* as if somebody held it */
    must(nshm_queue_put(&q, big, 8, nshm_now() + SOON) == -ETIMEDOUT);
    q.head->put.lock = 0;
    must(!put(&q, 1) && get() == 1);
}

/* ------------------------------------------------------------------------------------------------ waiting */
static void put_later(void) {
    nshm_queue mine;
    open_queue(&mine, NSHM_PRODUCER);
    usleep(20000);
    if (put(&mine, 7)) _exit(CAUGHT);
    nshm_queue_close(&mine);
}
static void get_later(void) {
    nshm_queue mine;
    open_queue(&mine, NSHM_CONSUMER);
    usleep(20000);
    if (get_from(&mine) != 1) _exit(CAUGHT);
    nshm_queue_close(&mine);
}
static void who_waits_is_woken(void) {
    pid_t pid;
    fresh(1, 16, 1, 0, 100);
    int64_t begun = nshm_now();
    must(nshm_queue_take(&q, buffer, 16, &w, begun + SOON) == -ETIMEDOUT && nshm_now() >= begun + SOON);
    pid = child(put_later);
    must(!nshm_queue_take(&q, buffer, 16, &w, INT64_MAX) && !memcmp(w.data, "\7", 2) && !ended(pid));
    must(!put(&q, 1));
    begun = nshm_now();
    must(nshm_queue_put(&q, big, 8, begun + SOON) == -ETIMEDOUT && nshm_now() >= begun + SOON);
    pid = child(get_later);
    must(!nshm_queue_put(&q, big, 8, INT64_MAX) && !ended(pid) && get() == 0);
    must(!nshm_queue_loan(&q, &w, 0));
    nshm_queue_window second;
    must(nshm_queue_loan(&q, &second, 0) == -EAGAIN && nshm_queue_loan(&q, &second, nshm_now() + SOON) == -ETIMEDOUT);
    must(!nshm_queue_abandon(&q, &w) && !nshm_queue_loan(&q, &second, 0) && !nshm_queue_abandon(&q, &second));
}
static void ring(int signal) { (void)signal; }
static pid_t parent;
static void send_signals(void) { /* until it is over: one may come before the other waits */
    for (int i = 0; i < 2000 && getppid() == parent; i++) {
        kill(parent, SIGUSR1);
        usleep(5000);
    }
}
static void a_signal_ends_a_wait(void) {
    struct sigaction action = {.sa_handler = ring, .sa_flags = SA_RESTART};
    fresh(1, 16, 0, 0, 16);
    sigaction(SIGUSR1, &action, NULL);
    parent = getpid();
    pid_t pid = child(send_signals);
    must(nshm_queue_take(&q, buffer, 16, &w, INT64_MAX) == -EINTR);
    must(!put(&q, 1) && nshm_queue_put(&q, big, 8, INT64_MAX) == -EINTR && get() == 1);
    kill(pid, SIGKILL);
    must(ended(pid) == 128 + SIGKILL);
}
static volatile int inner; /* raise() is declared as a function that calls nothing here */
static void put_within(int signal) {
    (void)signal;
    inner = put(&q, 2);
}
static void a_signal_handler_is_told_what_it_interrupted(void) {
    struct sigaction action = {.sa_handler = put_within};
    fresh(4, 16, 0, 0, 16);
    sigaction(SIGUSR1, &action, NULL);
    must(!nshm_queue_join(&q, NSHM_PRODUCER));
    must(!nshm__queue_lock(&q.head->put.lock, 0));
    raise(SIGUSR1);
    nshm__queue_unlock(&q.head->put.lock, 1);
    must(inner == -EDEADLK && nshm_queue_count(&q) == 0);
    raise(SIGUSR1);
    must(inner == 0 && get() == 2);
}

/* ------------------------------------------------------------------------------------------------ loans and windows */
static void loans_stand_in_nobodys_way(void) {
    nshm_queue_window held, sent;
    fresh(4, 16, 3, 0, 100);
    must(!nshm_queue_loan(&q, &held, 0) && held.length == 100 && !nshm_queue_loan(&q, &sent, 0));
    memset(held.data, 1, 100);
    memset(sent.data, 2, 100);
    must(!nshm_queue_commit(&q, &sent, 50, 0) && sent.chunk == NSHM_QUEUE_NONE && !put(&q, 3));
    must(!nshm_queue_take(&q, buffer, 16, &w, 0) && w.length == 50 && *(char *)w.data == 2);
    must(nshm_queue_commit(&q, &held, 101, 0) == -EMSGSIZE && !nshm_queue_commit(&q, &held, 100, 0)); /* after one that was lent later */
    must(get() == 3);
    must(!nshm_queue_take(&q, buffer, 16, &sent, 0) && sent.length == 100 && *(char *)sent.data == 1);
    must(!nshm_queue_release(&q, &w) && !nshm_queue_release(&q, &sent) && !left_over(&q));
    must(!nshm_queue_loan(&q, &held, 0) && !nshm_queue_abandon(&q, &held) && get() == -EAGAIN);
}
static void loan_and_take_and_stop(void) {
    nshm_queue mine;
    nshm_queue_window loan;
    open_queue(&mine, NSHM_PRODUCER | NSHM_CONSUMER);
    if (nshm_queue_loan(&mine, &loan, 0) || nshm_queue_take(&mine, buffer, 16, &w, 0)) _exit(CAUGHT);
    raise(SIGSTOP);
    if (nshm_queue_commit(&mine, &loan, 8, 0) || nshm_queue_release(&mine, &w)) _exit(CAUGHT);
    nshm_queue_close(&mine);
}
static void a_stopped_process_stands_in_nobodys_way(void) {
    int status;
    fresh(4, 16, 4, 0, 100);
    memset(big, 0, 100);
    must(!nshm_queue_put(&q, big, 100, 0));
    pid_t pid = child(loan_and_take_and_stop);
    must(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
    for (uint64_t i = 0; i < 20; i++) must(!nshm_queue_put(&q, memcpy(big, &i, 8), 100, 0) && get() == (int64_t)i);
    must(!nshm__queue_sweep(&q, NULL)); /* it lives */
    kill(pid, SIGCONT);
    must(!ended(pid) && nshm_queue_count(&q) == 1 && !nshm_queue_take(&q, buffer, 16, &w, 0) && !nshm_queue_release(&q, &w) && !left_over(&q));
}
static void a_full_queue_leaves_the_loan_to_its_borrower(void) {
    fresh(1, 16, 2, 0, 100);
    must(!put(&q, 1) && !nshm_queue_loan(&q, &w, 0));
    must(nshm_queue_commit(&q, &w, 8, 0) == -EAGAIN && w.chunk != NSHM_QUEUE_NONE);
    must(get() == 1 && !nshm_queue_commit(&q, &w, 8, 0));
    must(nshm_queue_put(&q, big, 100, 0) == -EAGAIN && nshm_queue_put(&q, big, 100, nshm_now() + SOON) == -ETIMEDOUT);
    nshm_queue_statistics s;
    nshm_queue_stat(&q, &s);
    must(s.free_chunks == 1 && s.loaned == 1 && s.waiting == 1);
}

/* ------------------------------------------------------------------------------------------------ acknowledgement */
static void take_and_die(void) {
    nshm_queue mine;
    open_queue(&mine, NSHM_CONSUMER);
    if (nshm_queue_take(&mine, NULL, 0, &w, 0)) _exit(CAUGHT);
    die();
}
static void take_two_and_die(void) {
    nshm_queue mine;
    nshm_queue_window two[2];
    open_queue(&mine, NSHM_CONSUMER);
    if (nshm_queue_take_many(&mine, NULL, 0, two, 2, 0) < 1) _exit(CAUGHT);
    if (two[0].redelivered && nshm_queue_take(&mine, NULL, 0, two, 0)) _exit(CAUGHT);
    die();
}
static void what_a_dead_consumer_had_comes_again(void) {
    fresh(8, 16, 8, NSHM_QUEUE_ACK, 100);
    for (uint64_t i = 0; i < 4; i++) must(!put(&q, i));
    must(ended(child(take_two_and_die)) == 128 + SIGKILL && ended(child(take_two_and_die)) == 128 + SIGKILL); /* the same two */
    usleep(5000); /* who takes looks at most every NSHM_QUEUE_GLANCE / 2 */
    for (int64_t i = 0; i < 4; i++) { /* the lost ones first */
        must(!nshm_queue_take(&q, NULL, 0, &w, 0));
        must(*(int64_t *)w.data == i && w.position == (uint64_t)i && w.redelivered == (i < 2) && !nshm_queue_release(&q, &w));
    }
    must(get() == -EAGAIN && !left_over(&q));
}
static void a_sleeper_gets_what_a_dead_consumer_had(void) {
    fresh(8, 16, 8, NSHM_QUEUE_ACK, 100);
    must(!put(&q, 1));
    must(ended(child(take_and_die)) == 128 + SIGKILL);
    must(!nshm_queue_take(&q, NULL, 0, &w, INT64_MAX) && w.redelivered && !nshm_queue_release(&q, &w));
    nshm_queue_statistics s;
    nshm_queue_stat(&q, &s);
    must(s.redelivered == 1 && s.put == 1 && s.got == 1);
}
static void what_is_returned_comes_again_at_once(void) {
    nshm_queue_window second;
    fresh(8, 16, 8, NSHM_QUEUE_ACK, 100);
    for (uint64_t i = 0; i < 3; i++) must(!put(&q, i));
    must(!nshm_queue_take(&q, NULL, 0, &w, 0) && !nshm_queue_take(&q, NULL, 0, &second, 0));
    must(!nshm_queue_return(&q, &second) && !nshm_queue_return(&q, &w));
    for (int64_t i = 0; i < 3; i++) {
        must(!nshm_queue_take(&q, NULL, 0, &w, 0) && *(int64_t *)w.data == i && w.redelivered == (i < 2) && !nshm_queue_release(&q, &w));
    }
    must(!left_over(&q));
}
static void take_acknowledge_and_die(void) {
    nshm_queue mine;
    open_queue(&mine, 0);
    if (nshm_queue_take(&mine, NULL, 0, &w, 0) || nshm_queue_acknowledge(&mine, &w) || *(int64_t *)w.data != 1) _exit(CAUGHT);
    kill(getpid(), SIGKILL);
}
static void what_is_acknowledged_does_not_come_again_and_can_be_read(void) {
    nshm_queue other;
    nshm_queue_statistics s;
    fresh(8, 16, 2, NSHM_QUEUE_ACK, 100);
    open_queue(&other, 0);
    must(!put(&q, 1) && !nshm_queue_take(&other, NULL, 0, &w, 0) && !nshm_queue_acknowledge(&other, &w));
    nshm_queue_stat(&q, &s);
    must(!s.held && s.loaned == 1 && *(int64_t *)w.data == 1);
    must(nshm_queue_acknowledge(&other, &w) == -EUCLEAN && nshm_queue_return(&other, &w) == -EUCLEAN); /* it was */
    must(!put(&q, 2) && get() == 2 && *(int64_t *)w.data == 1);
    must(!nshm_queue_abandon(&other, &w) && nshm_queue_abandon(&other, &w) == -EINVAL);
    nshm_queue_stat(&q, &s);
    must(s.free_chunks == 2);
    must(other.roles == NSHM_CONSUMER); /* nobody waits for it as for a producer */
    must(!put(&q, 1) && !nshm_queue_take(&other, NULL, 0, &w, 0) && !nshm_queue_acknowledge(&other, &w));
    nshm_queue_close(&other);
    must(!put(&q, 1) && ended(child(take_acknowledge_and_die)) == 128 + SIGKILL);
    usleep(5000); /* see above */
    must(get() == -EAGAIN && nshm__queue_sweep(&q, NULL) >= 0 && !left_over(&q));
    nshm_queue_close(&q);
    fresh(8, 16, 2, 0, 100);
    must(!put(&q, 1) && !nshm_queue_take(&q, buffer, sizeof buffer, &w, 0) && nshm_queue_acknowledge(&q, &w) == -EINVAL);
}
static void who_closes_gives_back_what_it_holds(void) {
    nshm_queue other;
    nshm_queue_window loan;
    fresh(8, 16, 2, NSHM_QUEUE_ACK, 100);
    open_queue(&other, 0);
    must(!put(&q, 1) && !nshm_queue_take(&other, NULL, 0, &w, 0) && !nshm_queue_loan(&other, &loan, 0));
    nshm_queue_close(&other);
    must(!nshm_queue_take(&q, NULL, 0, &w, 0) && w.redelivered && !nshm_queue_release(&q, &w));
    must(!put(&q, 2) && get() == 2 && !put(&q, 2));
}

/* ------------------------------------------------------------------------------------------------ the end */
static void wait_for_the_end(void) {
    nshm_queue mine;
    open_queue(&mine, NSHM_CONSUMER);
    if (nshm_queue_take(&mine, buffer, 16, &w, INT64_MAX) != -EPIPE) _exit(CAUGHT);
}
static void wait_for_room_until_the_end(void) {
    nshm_queue mine;
    open_queue(&mine, NSHM_PRODUCER);
    if (nshm_queue_put(&mine, big, 8, INT64_MAX) != -EPIPE) _exit(CAUGHT);
}
static void shut_down_drains(void) {
    fresh(2, 16, 1, 0, 100);
    pid_t taking = child(wait_for_the_end);
    usleep(20000);
    must(!nshm_queue_shut_down(&q, NSHM_QUEUE_DRAIN) && !ended(taking));
    nshm_queue_close(&q);
    fresh(2, 16, 1, 0, 100);
    must(!put(&q, 1) && !put(&q, 2));
    pid_t putting = child(wait_for_room_until_the_end);
    usleep(20000);
    must(!nshm_queue_shut_down(&q, NSHM_QUEUE_DRAIN) && !ended(putting));
    must(put(&q, 3) == -EPIPE && nshm_queue_loan(&q, &w, 0) == -EPIPE);
    must(get() == 1 && get() == 2 && get() == -EPIPE && nshm_queue_take(&q, buffer, 16, &w, INT64_MAX) == -EPIPE);
}
static void stop_ends_at_once(void) {
    fresh(2, 16, 1, 0, 100);
    must(!put(&q, 1) && !nshm_queue_shut_down(&q, NSHM_QUEUE_STOP) && get() == -EPIPE && put(&q, 2) == -EPIPE);
}
static void put_and_die(void) {
    nshm_queue mine;
    open_queue(&mine, NSHM_PRODUCER);
    if (put(&mine, 1)) _exit(CAUGHT);
    die();
}
static void put_and_leave(void) {
    nshm_queue mine;
    open_queue(&mine, NSHM_PRODUCER);
    if (put(&mine, 1)) _exit(CAUGHT);
    nshm_queue_close(&mine);
}
static void it_ends_with_its_producers(void) {
    fresh(4, 16, 0, NSHM_QUEUE_ENDS, 16);
    must(get() == -EAGAIN && nshm_queue_take(&q, buffer, 16, &w, nshm_now() + SOON) == -ETIMEDOUT); /* there was none yet */
    must(!ended(child(put_and_leave)) && get() == 1 && get() == -EPIPE);
    must(ended(child(put_and_die)) == 128 + SIGKILL);
    must(!nshm_queue_take(&q, buffer, 16, &w, INT64_MAX) && nshm_queue_take(&q, buffer, 16, &w, INT64_MAX) == -EPIPE);
    must(!put(&q, 2) && get() == 2 && get() == -EAGAIN); /* we are one ourselves now */
}
static void a_full_queue_drops_its_oldest(void) {
    nshm_queue_statistics s;
    fresh(4, 16, 3, NSHM_QUEUE_DROP_OLDEST, 100);
    for (uint64_t i = 0; i < 10; i++) must(!put(&q, i));
    for (int64_t i = 6; i < 10; i++) must(get() == i);
    for (uint64_t i = 0; i < 10; i++) must(!nshm_queue_put(&q, memcpy(big, &i, 8), 100, 0));
    for (int64_t i = 7; i < 10; i++) must(get() == i); /* three chunks */
    must(get() == -EAGAIN && !put(&q, 1) && !nshm_queue_loan(&q, &w, 0) && nshm_queue_count(&q) == 1);
    nshm_queue_stat(&q, &s);
    must(s.dropped == 6 + 7 && s.put == 21 && s.waiting == 1);
}

/* ------------------------------------------------------------------------------------------------ who takes part */
static void participants_are_told(void) {
    nshm_queue other;
    nshm_queue_participant p;
    uint32_t cursor = 0, seen = 0;
    fresh(4, 16, 0, 0, 16);
    must(nshm_queue_next_participant(&q, &cursor, &p) == -ENOENT);
    must(!put(&q, 1) && get() == 1);
    open_queue(&other, NSHM_CONSUMER);
    for (cursor = 0; !nshm_queue_next_participant(&q, &cursor, &p); seen++)
        must(p.pid == getpid() && p.lives == 1 && p.roles == (seen ? NSHM_CONSUMER : NSHM_PRODUCER | NSHM_CONSUMER));
    must(seen == 2);
    nshm_queue_close(&other);
    must(ended(child(put_and_die)) == 128 + SIGKILL);
    cursor = 1;
    must(!nshm_queue_next_participant(&q, &cursor, &p) && p.lives == 0 && p.pid != getpid() && p.roles == NSHM_PRODUCER);
    must(nshm_queue_next_participant(&q, &cursor, &p) == -ENOENT);
}
static void the_dead_make_room_in_the_table(void) {
    fresh(16, 16, 0, 0, 16);
    must(!nshm_queue_join(&q, NSHM_CONSUMER));
    for (int i = 0; i < 10; i++) must(ended(child(put_and_die)) == 128 + SIGKILL); /* eight entries */
    nshm_queue others[8];
    for (int i = 0; i < 7; i++) open_queue(&others[i], NSHM_PRODUCER);
    must(!nshm_queue_open(&scope, QUEUE_NAME, 0, &others[7]) && nshm_queue_join(&others[7], NSHM_PRODUCER) == -ENFILE);
    nshm_queue_close(&others[0]);
    must(!nshm_queue_join(&others[7], NSHM_PRODUCER));
    for (int i = 1; i < 8; i++) nshm_queue_close(&others[i]);
    for (int i = 0; i < 10; i++) must(get() == 1);
    must(get() == -EAGAIN && !left_over(&q));
}
static void use_inherited(void) {
    if (put(&q, 2) || get() != 1) _exit(CAUGHT); /* as itself */
    if (nshm_queue_release(&q, &w) != -EUCLEAN) _exit(CAUGHT); /* the parent's */
    die();
}
static void a_forked_child_takes_part_as_itself(void) {
    fresh(4, 16, 3, 0, 100);
    must(!nshm_queue_put(&q, big, 100, 0) && !nshm_queue_take(&q, buffer, 16, &w, 0) && !put(&q, 1));
    uint64_t ours = q.id;
    nshm_queue_window copy = w;
    must(ended(child(use_inherited)) == 128 + SIGKILL);
    must(q.id == ours && get() == 2 && !nshm_queue_release(&q, &copy));
    must(!nshm__queue_sweep(&q, NULL) && !left_over(&q));
}
static _Atomic pid_t *left_behind;
static void join_and_leave_a_child_behind(void) {
    nshm_queue mine;
    open_queue(&mine, NSHM_PRODUCER);
    pid_t pid = fork_known();
    while (!pid) pause(); /* it lives on, with all that was inherited */
    *left_behind = pid;
    die();
}
static void a_proof_of_life_is_not_inherited(void) {
    nshm_queue_participant p;
    uint32_t cursor = 0;
    left_behind = shared_memory(sizeof *left_behind);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    fresh(4, 16, 0, 0, 16);
    must(ended(child(join_and_leave_a_child_behind)) == 128 + SIGKILL);
    must(*left_behind > 0 && !kill(*left_behind, 0));
    int r = nshm_queue_next_participant(&q, &cursor, &p);
    kill(*left_behind, SIGKILL);
    must(ended(*left_behind) == 128 + SIGKILL);
    must(!r && p.lives == 0);
}
enum { STRANGER = 4321 };
static nshm_scope global, of_another;
static void put_and_take_as_another_user(void) {
    nshm_queue mine;
    if (setgid(STRANGER) || setuid(STRANGER)) _exit(BROKEN);
    nshm_scope_init(&of_another, NSHM_GLOBAL, "queues", -1, 0); /* who may not create there, and so not lock the registry */
    if (nshm_queue_open(&of_another, QUEUE_NAME, 0, &mine) || get_from(&mine) != 1 || put(&mine, 2)) _exit(CAUGHT);
    if (nshm_queue_take(&mine, NULL, 0, &w, 0)) _exit(CAUGHT);
    die();
}
static void another_user_takes_part_in_global(void) {
    nshm_queue_participant p;
    uint32_t cursor = 0;
    if (geteuid() || !isolated) return; /* needs root, and a world of its own */
    nshm_scope_init(&global, NSHM_GLOBAL, "queues", -1, 1);
    start = starting(8, 16, 8, NSHM_QUEUE_ACK, 100);
    must(!nshm_queue_create(&global, QUEUE_NAME, 0666, -1, NSHM_EXCLUSIVE, &start, &q) && !put(&q, 1));
    must(ended(child(put_and_take_as_another_user)) == 128 + SIGKILL);
    must(!nshm_queue_next_participant(&q, &cursor, &p) && p.lives == 1 && !p.maker);
    must(!nshm_queue_next_participant(&q, &cursor, &p) && p.lives == 0 && p.maker == STRANGER);
    must(!nshm_queue_take(&q, NULL, 0, &w, INT64_MAX) && w.redelivered && *(uint64_t *)w.data == 2 && !nshm_queue_release(&q, &w) && !left_over(&q));
    nshm_queue_close(&q);
    nshm_scope_release(&global);
}
static _Atomic int *turn;
static void be_number_one(void (*act)(nshm_queue *)) { /* the first thread of a PID namespace has the number 1 */
    nshm_queue mine;
    if (unshare(CLONE_NEWPID)) _exit(77);
    pid_t pid = fork_known();
    if (pid) _exit(ended(pid));
    if (syscall(SYS_gettid) != 1) _exit(77);
    open_queue(&mine, NSHM_PRODUCER);
    act(&mine);
    nshm_queue_close(&mine);
    _exit(0);
}
static void hold_the_lock(nshm_queue *mine) {
    if (nshm__queue_lock(&mine->head->put.lock, 0)) _exit(CAUGHT);
    for (*turn = 1; *turn == 1;) sched_yield();
    nshm__queue_unlock(&mine->head->put.lock, 1);
}
static void want_the_lock(nshm_queue *mine) {
    while (*turn != 1) sched_yield();
    int r = nshm_queue_put(mine, big, 8, nshm_now() + SOON);
    *turn = 2;
    if (r != -ETIMEDOUT || nshm_queue_put(mine, big, 8, INT64_MAX)) _exit(CAUGHT);
}
static void number_one_holds_the_lock(void) { be_number_one(hold_the_lock); }
static void number_one_wants_the_lock(void) { be_number_one(want_the_lock); }
static void threads_of_equal_numbers_are_told_apart(void) {
    turn = shared_memory(sizeof *turn);
    fresh(16, 16, 0, 0, 16);
    pid_t first = child(number_one_holds_the_lock);
    int r = 0;
    while (!*turn && waitpid(first, &r, WNOHANG) != first) sched_yield();
    if (!*turn) exit(WIFEXITED(r) && WEXITSTATUS(r) == 77 ? 0 : CAUGHT); /* PID namespaces are not permitted here */
    must(!ended(child(number_one_wants_the_lock)) && !ended(first) && nshm_queue_count(&q) == 1);
}
static void in_another_ipc_namespace(void) {
    if (unshare(CLONE_NEWIPC)) _exit(77);
    if (nshm_queue_put(&q, big, 8, 0) != -EXDEV) _exit(CAUGHT); /* it would take part as itself, which nobody could see */
    q.entry = NSHM_QUEUE_NONE;                                  /* and who is there, it cannot tell */
    if (nshm__queue_sweep(&q, NULL)) _exit(CAUGHT);
}
static void nobody_is_taken_for_dead_from_elsewhere(void) {
    fresh(4, 16, 0, 0, 16);
    must(!nshm_queue_join(&q, NSHM_CONSUMER));
    int r = ended(child(in_another_ipc_namespace));
    must((r == 0 || r == 77) && q.entries[q.entry].word);
}

static const struct {
    const char *name;
    void (*check)(void);
} checks[] = {
#define CHECK(name) {#name, name}
    CHECK(first_in_first_out), CHECK(every_length), CHECK(several_at_once), CHECK(wrong_arguments), CHECK(names_and_types),
    CHECK(what_is_damaged_is_not_opened), CHECK(what_is_written_over_is_told), CHECK(who_waits_is_woken), CHECK(a_signal_ends_a_wait),
    CHECK(a_signal_handler_is_told_what_it_interrupted), CHECK(loans_stand_in_nobodys_way),
    CHECK(a_stopped_process_stands_in_nobodys_way),
    CHECK(a_full_queue_leaves_the_loan_to_its_borrower), CHECK(what_a_dead_consumer_had_comes_again),
    CHECK(a_sleeper_gets_what_a_dead_consumer_had), CHECK(what_is_returned_comes_again_at_once),
    CHECK(what_is_acknowledged_does_not_come_again_and_can_be_read), CHECK(who_closes_gives_back_what_it_holds),
    CHECK(shut_down_drains), CHECK(stop_ends_at_once), CHECK(it_ends_with_its_producers), CHECK(a_full_queue_drops_its_oldest),
    CHECK(participants_are_told), CHECK(the_dead_make_room_in_the_table), CHECK(a_forked_child_takes_part_as_itself),
    CHECK(another_user_takes_part_in_global),
    CHECK(threads_of_equal_numbers_are_told_apart),
    CHECK(a_proof_of_life_is_not_inherited), CHECK(nobody_is_taken_for_dead_from_elsewhere),
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
