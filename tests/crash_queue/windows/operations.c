/* operations.c - what namedshm_queue.h promises on Windows, one promise after the other; with processes that end themselves at each step.
 *
 *   operations NAME    one of them
 *   operations list    their names
 *
 * Nobody looks again by himself: naps last an hour, but where somebody dies on the way to ring.
 */
#include <stdint.h>
static int64_t nap = 3600000000000LL; /* nanoseconds */
#define NSHM_QUEUE_NAP nap
#include "programs.h"
#include <process.h>

enum { SOON = 5000000 }; /* nanoseconds */
static const int64_t DUE = 60000000000; /* for what comes at once; longer than PATIENCE */

static nshm_queue q;
static nshm_queue_window w;
static char buffer[4096], big[20000];

static void fresh(uint32_t capacity, uint32_t inline_max, uint32_t chunks, uint32_t mode, uint64_t message_max) {
    nshm_queue_start start = starting(capacity, inline_max, chunks, mode, message_max);
    new_name();
    int r = nshm_queue_create(&scope, name, strlen(name), 0600, -1, NSHM_EXCLUSIVE, &start, &q);
    if (r) broken("create %s: %d", name, r);
    q.spin = 0;
}
static int64_t due(void) { return nshm_now() + DUE; }
static int put(nshm_queue *to, uint64_t n) { return nshm_queue_put(to, &n, sizeof n, 0); }
static int64_t get_until(nshm_queue *from, int64_t deadline) { /* the number of the next message, or an error */
    nshm_queue_window taken;
    uint64_t n;
    int r = nshm_queue_take(from, buffer, sizeof buffer, &taken, deadline);
    if (r) return r;
    must(taken.length >= sizeof n);
    memcpy(&n, taken.data, sizeof n);
    must(!nshm_queue_release(from, &taken));
    return (int64_t)n;
}
static int64_t get(void) { return get_until(&q, 0); }
static int left_over(void) { /* chunks and entries that are somebody's, beside this handle's own entry */
    int n = 0;
    for (uint32_t c = 0; c < q.chunks; c++) n += q.chunk[c].owner != 0;
    for (uint32_t i = 0; i < q.participants; i++) n += i != q.entry && q.entries[i].word != 0;
    return n;
}

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
    for (int i = 3; i < 6; i++) must(nshm_queue_put_many(&q, from + i, lengths + i, 6 - i, 0) == 1);
    must(nshm_queue_take_many(&q, buffer, 16, windows, 8, 0) == 2); /* no room for the third */
    must(nshm_queue_take_many(&q, buffer, sizeof buffer, windows + 2, 6, 0) == 4);
    for (int i = 0; i < 6; i++) {
        must(windows[i].length == lengths[i] && windows[i].position == (uint64_t)i && (i < 2 || !memcmp(windows[i].data, &n[i], 8)));
        must(!nshm_queue_release(&q, &windows[i]));
    }
    must(!left_over());
}
static void loans_stand_in_nobodys_way(void) {
    nshm_queue_window held, sent;
    fresh(4, 16, 3, 0, 100);
    must(!nshm_queue_loan(&q, &held, 0) && held.length == 100 && !nshm_queue_loan(&q, &sent, 0));
    memset(held.data, 1, 100);
    memset(sent.data, 2, 100);
    must(!nshm_queue_commit(&q, &sent, 50, 0) && !put(&q, 3));
    must(!nshm_queue_take(&q, buffer, 16, &w, 0) && w.length == 50 && *(char *)w.data == 2);
    must(!nshm_queue_commit(&q, &held, 100, 0) && get() == 3); /* after one that was lent later */
    must(!nshm_queue_take(&q, buffer, 16, &sent, 0) && *(char *)sent.data == 1);
    must(!nshm_queue_release(&q, &w) && !nshm_queue_release(&q, &sent) && !left_over());
    must(!nshm_queue_loan(&q, &held, 0) && !nshm_queue_abandon(&q, &held) && get() == -EAGAIN);
}
static void a_full_queue_drops_its_oldest(void) {
    fresh(2, 16, 2, NSHM_QUEUE_DROP_OLDEST, 100);
    for (uint64_t i = 0; i < 5; i++) must(!put(&q, i));
    must(get() == 3 && get() == 4 && get() == -EAGAIN);
}
static void what_is_damaged_is_not_opened(void) {
    nshm_queue other;
    fresh(4, 16, 2, 0, 100);
    struct { void *at; uint32_t bytes; int error; } fields[] = {
        {&q.head->version, 4, -EPROTO}, {&q.head->mode, 4, -EUCLEAN}, {&q.head->capacity, 4, -EUCLEAN}, {&q.head->stride, 4, -EUCLEAN},
        {&q.head->chunks, 4, -EUCLEAN}, {&q.head->participants, 4, -EUCLEAN}, {&q.head->message_max, 8, -EUCLEAN}, {&q.head->size, 8, -EUCLEAN},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        uint64_t before = 0, damaged;
        memcpy(&before, fields[i].at, fields[i].bytes);
        damaged = ~before;
        memcpy(fields[i].at, &damaged, fields[i].bytes);
        must(nshm_queue_open(&scope, name, strlen(name), 0, &other) == fields[i].error);
        memcpy(fields[i].at, &before, fields[i].bytes);
    }
    must(!nshm_queue_open(&scope, name, strlen(name), 0, &other));
    nshm_queue_close(&other);
}

/* ------------------------------------------------------------------------------------------------ names */
static void names_and_types(void) {
    nshm_queue other;
    nshm_queue_start start = starting(4, 16, 0, 0, 16), larger = starting(64, 16, 0, 0, 16);
    wchar_t wide[64];
    size_t n;
    HANDLE plain;
    new_name();
    n = strlen(name);
    must(nshm_queue_open(&scope, name, n, 0, &q) == -ENOENT);
    must(!nshm_queue_create(&scope, name, n, 0600, -1, 0, &start, &q) && q.handle.created);
    must(!put(&q, 5));
    must(nshm_queue_create(&scope, name, n, 0600, -1, NSHM_EXCLUSIVE, &start, &other) == -EEXIST);
    must(!nshm_queue_create(&scope, name, n, 0600, -1, 0, &larger, &other) && !other.handle.created && other.capacity == 4);
    must(other.handle.nonce == q.handle.nonce && other.handle.size == q.handle.size && q.handle.size < 65536);
    must(get_until(&other, 0) == 5 && !put(&other, 6));
    nshm_queue_close(&q);
    must(get_until(&other, 0) == 6);
    nshm_queue_close(&other);
    must(nshm_queue_open(&scope, name, n, 0, &q) == -ENOENT);
    /* what others made */
    MultiByteToWideChar(CP_UTF8, 0, name, -1, wide, 64);
    must((plain = CreateFileMappingW(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, 65536, wide)) != NULL);
    must(nshm_queue_open(&scope, name, n, 0, &q) == -EBADMSG);
    must(nshm_queue_create(&scope, name, n, 0600, -1, 0, &start, &q) == -EBADMSG);
    CloseHandle(plain);
    must((plain = CreateEventW(NULL, 0, 0, wide)) != NULL);
    must(nshm_queue_open(&scope, name, n, 0, &q) == -EBADMSG);
    must(nshm_queue_create(&scope, name, n, 0600, -1, 0, &start, &q) == -EBADMSG);
    CloseHandle(plain);
    must(!nshm_queue_create(&scope, name, n, 0600, -1, NSHM_EXCLUSIVE, &start, &q));
}
static void names_of_every_length(void) {
    nshm_queue other;
    nshm_queue_start start = starting(4, 16, 0, 0, 16);
    nshm_scope machine;
    char many[1100];
    nshm_scope_init(&machine, NSHM_GLOBAL, NULL, -1, 1);
    for (int global = 0; global < 2; global++)
        for (size_t characters = 1; characters <= 259; characters += characters < 118 || characters > 122 ? 43 : 1) {
            nshm_scope *s = global ? &machine : &scope;
            size_t n = 0;
            for (size_t i = 0; i < characters; i++) n += (size_t)sprintf(many + n, "%s", i % 3 ? i % 3 == 1 ? "a" : "\xe2\x82\xac" : "\xf0\x9f\x98\x80");
            must(!nshm_queue_create(s, many, n, 0600, -1, NSHM_EXCLUSIVE, &start, &q) && !put(&q, characters));
            must(!nshm_queue_open(s, many, n, 0, &other) && get_until(&other, 0) == (int64_t)characters);
            nshm_queue_close(&q);
            nshm_queue_close(&other);
            must(nshm_queue_open(s, many, n, 0, &q) == -ENOENT);
        }
    memset(many, 'a', 300);
    must(!nshm_queue_create(&scope, many, 200, 0600, -1, NSHM_EXCLUSIVE, &start, &q) && !put(&q, 1));
    many[199] = 'b'; /* long names that differ only there */
    must(!nshm_queue_create(&scope, many, 200, 0600, -1, NSHM_EXCLUSIVE, &start, &other) && other.handle.nonce != q.handle.nonce);
    nshm_queue_close(&other);
    many[199] = 'a';
    must(!nshm_queue_open(&scope, many, 200, 0, &other) && other.handle.nonce == q.handle.nonce && get_until(&other, 0) == 1);
    must(nshm_queue_open(&scope, many, 260, 0, &q) == -ENAMETOOLONG && nshm_queue_open(&scope, "", 0, 0, &q) == -EINVAL);
    must(nshm_queue_open(&scope, "a\\b", 3, 0, &q) == -EINVAL && nshm_queue_open(&scope, "a\xff", 2, 0, &q) == -EINVAL);
}
static void a_reader_looks(void) {
    nshm_queue reader;
    nshm_queue_statistics s;
    nshm_queue_participant p;
    uint32_t cursor = 0;
    fresh(4, 16, 1, 0, 100);
    must(!put(&q, 1));
    must(!nshm_queue_open(&scope, name, strlen(name), NSHM_READONLY, &reader));
    must(nshm_queue_put(&reader, big, 8, 0) == -EACCES && nshm_queue_take(&reader, buffer, 16, &w, 0) == -EACCES);
    must(nshm_queue_shut_down(&reader, NSHM_QUEUE_STOP) == -EACCES);
    nshm_queue_stat(&reader, &s);
    must(s.waiting == 1 && s.put == 1 && s.put_bytes == 8 && s.free_chunks == 1);
    must(!nshm_queue_next_participant(&reader, &cursor, &p) && p.lives == 1 && p.pid == (int)GetCurrentProcessId() && p.roles == NSHM_PRODUCER);
    must(nshm_queue_next_participant(&reader, &cursor, &p) == -ENOENT);
    nshm_queue_close(&q);
    must(nshm_queue_count(&reader) == 1);
    must(!nshm_queue_open(&scope, name, strlen(name), 0, &q) && get() == 1); /* the reader kept all of it */
    nshm_queue_close(&reader);
}
static void modes_become_rights(void) {
    nshm_queue other;
    nshm_queue_start start = starting(4, 16, 0, 0, 16);
    for (unsigned mode = 0600; mode <= 0666; mode += 2) {
        if (mode & 011) continue;
        new_name();
        must(!nshm_queue_create(&scope, name, strlen(name), mode, -1, NSHM_EXCLUSIVE, &start, &q));
        must(!nshm_queue_open(&scope, name, strlen(name), 0, &other) && !put(&other, 3) && get() == 3);
        nshm_queue_close(&other);
        nshm_queue_close(&q);
    }
    must(nshm_queue_create(&scope, name, strlen(name), 0660, 7, 0, &start, &q) == -EINVAL);
}

/* ------------------------------------------------------------------------------------------------ waiting */
static void takes_one(int number) { /* and says in its exit status what it got */
    nshm_queue mine;
    (void)number;
    open_queue(&mine);
    exit((int)get_until(&mine, due()));
}
static void puts_one(int number) {
    nshm_queue mine;
    open_queue(&mine);
    uint64_t n = (uint64_t)number;
    exit(nshm_queue_put(&mine, &n, sizeof n, due()) ? CAUGHT : 0);
}
static void puts_in_vain(int number) {
    nshm_queue mine;
    open_queue(&mine);
    uint64_t n = (uint64_t)number;
    exit(nshm_queue_put(&mine, &n, sizeof n, nshm_now() + 2000000000) == -ETIMEDOUT ? 0 : CAUGHT);
}
static void borrows_one(int number) {
    nshm_queue mine;
    (void)number;
    open_queue(&mine);
    exit(nshm_queue_loan(&mine, &w, due()) || nshm_queue_abandon(&mine, &w) ? CAUGHT : 0);
}
static void who_waits_is_woken(void) {
    HANDLE other[3];
    fresh(1, 16, 1, 0, 100);
    int64_t begun = nshm_now();
    must(nshm_queue_take(&q, buffer, 16, &w, begun + SOON) == -ETIMEDOUT && nshm_now() >= begun + SOON);
    for (uint64_t i = 0; i < 4; i++) { /* it is about to sleep, or asleep */
        other[0] = child("takes_one", 0);
        until_sleeping(&q.head->put.lock);
        must(!put(&q, i) && ended(other[0]) == (int)i);
    }
    for (int i = 0; i < 3; i++) other[i] = child("takes_one", 0);
    until_sleeping(&q.head->put.lock);
    for (uint64_t i = 0; i < 3; i++) must(!nshm_queue_put(&q, memcpy(big, &(uint64_t){40 + i}, 8), 8, due()));
    int sum = 0;
    for (int i = 0; i < 3; i++) sum += ended(other[i]);
    must(sum == 40 + 41 + 42);
    must(!put(&q, 1));
    begun = nshm_now();
    must(nshm_queue_put(&q, big, 8, begun + SOON) == -ETIMEDOUT && nshm_now() >= begun + SOON);
    other[0] = child("puts_one", 5);
    until_sleeping(&q.head->get.lock);
    must(get() == 1 && !ended(other[0]) && get() == 5);
    must(!nshm_queue_loan(&q, &w, 0));
    other[0] = child("borrows_one", 0);
    until_sleeping(&q.head->pool.lock);
    must(!nshm_queue_abandon(&q, &w) && !ended(other[0]));
}
static void an_event_ends_a_wait(void) {
    fresh(1, 16, 0, 0, 16);
    HANDLE event = CreateEventW(NULL, TRUE, TRUE, NULL);
    must(event != NULL);
    nshm_queue_interrupt(event);
    must(nshm_queue_take(&q, buffer, 16, &w, INT64_MAX) == -EINTR);
    must(!put(&q, 1) && nshm_queue_put(&q, big, 8, INT64_MAX) == -EINTR && get() == 1);
    nshm_queue_interrupt(NULL);
    CloseHandle(event);
}
static unsigned __stdcall take_until_it_is_over(void *result) {
    nshm_queue_window mine;
    char here[64];
    *(int *)result = nshm_queue_take(&q, here, sizeof here, &mine, due());
    return 0;
}
enum { THREADS = 6 };
static void everybody_is_told_of_the_end(void (*end)(void)) {
    HANDLE thread[THREADS];
    int result[THREADS];
    int64_t begun;
    for (int i = 0; i < THREADS; i++) thread[i] = (HANDLE)_beginthreadex(NULL, 0, take_until_it_is_over, &result[i], 0, NULL);
    until_sleeping(&q.head->put.lock);
    begun = nshm_now();
    end();
    must(WaitForMultipleObjects(THREADS, thread, TRUE, PATIENCE) < THREADS);
    must(nshm_now() - begun < DUE);
    for (int i = 0; i < THREADS; i++) {
        must(result[i] == -EPIPE);
        CloseHandle(thread[i]);
    }
}
static void shut_it_down(void) { must(!nshm_queue_shut_down(&q, NSHM_QUEUE_DRAIN)); }
static void shut_down_tells_everybody(void) {
    fresh(4, 16, 0, 0, 16);
    everybody_is_told_of_the_end(shut_it_down);
    must(put(&q, 1) == -EPIPE);
}
static void shut_down_drains(void) {
    fresh(4, 16, 0, 0, 16);
    must(!put(&q, 1) && !nshm_queue_shut_down(&q, NSHM_QUEUE_DRAIN) && put(&q, 2) == -EPIPE && get() == 1 && get() == -EPIPE);
    nshm_queue_close(&q);
    fresh(4, 16, 0, 0, 16);
    must(!put(&q, 1) && !nshm_queue_shut_down(&q, NSHM_QUEUE_STOP) && get() == -EPIPE);
}
static nshm_queue producing;
static void the_producer_leaves(void) { nshm_queue_close(&producing); }
static void it_ends_with_its_producers(void) {
    fresh(4, 16, 0, NSHM_QUEUE_ENDS, 16);
    must(get() == -EAGAIN);
    must(!ended(child("puts_one", 3))); /* and ends with it open, unclosed */
    must(get() == 3 && get() == -EPIPE);
    open_queue(&producing);
    must(!put(&producing, 1) && get() == 1 && get() == -EAGAIN);
    everybody_is_told_of_the_end(the_producer_leaves);
}

/* ------------------------------------------------------------------------------------------------ deaths */
static void takes_and_dies(int number) {
    nshm_queue mine;
    open_queue(&mine);
    for (int i = 0; i < number; i++)
        if (nshm_queue_take(&mine, buffer, sizeof buffer, &w, due())) exit(CAUGHT);
    die();
}
static void borrows_and_dies(int number) {
    nshm_queue mine;
    open_queue(&mine);
    for (int i = 0; i < number; i++)
        if (nshm_queue_loan(&mine, &w, due())) exit(CAUGHT);
    die();
}
static void what_a_dead_consumer_had_comes_again(void) {
    fresh(4, 16, 4, NSHM_QUEUE_ACK, 16);
    for (uint64_t i = 0; i < 3; i++) must(!put(&q, i));
    must(ended(child("takes_and_dies", 2)) == KILLED);
    for (int i = 0; i < 3; i++) {
        must(!nshm_queue_take(&q, buffer, sizeof buffer, &w, due()));
        must(w.position == (uint64_t)i && w.redelivered == (i < 2) && !nshm_queue_release(&q, &w));
    }
    must(!left_over());
}
static void a_sleeper_gets_what_a_dead_consumer_had(void) {
    fresh(4, 16, 4, NSHM_QUEUE_ACK, 16);
    must(!put(&q, 7));
    HANDLE holder = child("takes_and_dies", 2), sleeper; /* it sleeps for a second one */
    until_sleeping(&q.head->put.lock);
    sleeper = child("takes_one", 0);
    until_sleeping(&q.head->put.lock);
    must(TerminateProcess(holder, KILLED) && ended(holder) == KILLED && ended(sleeper) == 7);
}
static void what_is_returned_comes_again(void) {
    fresh(4, 16, 4, NSHM_QUEUE_ACK, 16);
    must(!put(&q, 1) && !put(&q, 2) && !nshm_queue_take(&q, buffer, 16, &w, 0) && !nshm_queue_return(&q, &w));
    must(!nshm_queue_take(&q, buffer, 16, &w, 0) && w.redelivered && w.position == 0 && !nshm_queue_release(&q, &w) && get() == 2);
}
static void a_dead_borrowers_chunks_are_lent_again(void) {
    fresh(4, 16, 2, 0, 100);
    must(ended(child("borrows_and_dies", 2)) == KILLED);
    must(!nshm_queue_loan(&q, &w, due()) && !nshm_queue_abandon(&q, &w) && !left_over());
}
static void the_dead_make_room_in_the_table(void) {
    nshm_queue_start start = starting(4, 16, 1, 0, 16);
    start.participants = 2;
    new_name();
    must(!nshm_queue_create(&scope, name, strlen(name), 0600, -1, 0, &start, &q) && !put(&q, 1));
    for (int i = 0; i < 3; i++) must(ended(child("borrows_and_dies", 1)) == KILLED);
    HANDLE living = child("takes_and_dies", 2);
    until_sleeping(&q.head->put.lock);
    nshm_queue other;
    open_queue(&other);
    must(nshm_queue_join(&other, NSHM_CONSUMER) == -ENFILE);
    must(TerminateProcess(living, KILLED) && ended(living) == KILLED && !nshm_queue_join(&other, NSHM_CONSUMER));
    nshm_queue_close(&other);
}
static void nobody_is_taken_for_dead(void) { /* who lives, or of whom that cannot be told */
    nshm_queue_entry e;
    wchar_t called[48];
    fresh(4, 16, 2, 0, 100);
    must(!nshm_queue_join(&q, NSHM_PRODUCER) && nshm__queue_lives(&q, &q.entries[q.entry]) == 1);
    memset(&e, 0, sizeof e);
    e.token = 12344, e.token_size = 99;
    must(nshm__queue_lives(&q, &e) == 0);
    nshm__life_name(called, 0, 99ull << 32 | 12344);
    HANDLE other = CreateMutexW(NULL, 0, called); /* another type: not found is not what the kernel says */
    must(other && nshm__queue_lives(&q, &e) == -ESTALE);
    CloseHandle(other);
    must(nshm__queue_lives(&q, &e) == 0);
}
static void a_lock_that_is_held_is_waited_for(void) {
    fresh(4, 16, 0, 0, 16);
    must(!put(&q, 1) && !nshm__queue_lock(&q.head->put.lock, 0));
    must(!ended(child("puts_in_vain", 2))); /* its holder lives, however long it takes */
    HANDLE other = child("puts_one", 2);
    nshm__queue_unlock(&q.head->put.lock, 1);
    must(!ended(other) && get() == 1 && get() == 2);
    must(!nshm__queue_lock(&q.head->put.lock, 0));
    must(nshm_queue_put(&q, big, 8, nshm_now() + SOON) == -ETIMEDOUT);
    nshm__queue_unlock(&q.head->put.lock, 1);
}
static void locks_and_dies(int number) {
    nshm_queue mine;
    open_queue(&mine);
    nshm_queue_end *end = number == 0 ? &mine.head->put : number == 1 ? &mine.head->get : &mine.head->pool;
    if (nshm_queue_join(&mine, NSHM_PRODUCER) || nshm__queue_lock(&end->lock, 0)) exit(CAUGHT);
    die();
}
static void a_dead_holders_lock_is_taken_over(void) {
    fresh(4, 16, 1, 0, 100);
    for (int i = 0; i < 3; i++) {
        must(ended(child("locks_and_dies", i)) == KILLED);
        must(!put(&q, 5) && get() == 5 && !nshm_queue_loan(&q, &w, 0) && !nshm_queue_abandon(&q, &w));
    }
}

/* ------------------------------------------------------------------------------------------------ ended at every step */
enum { PUT, PUT_MANY, PUT_LARGE, TAKE, TAKE_LARGE, RETURN, ABANDON, SLEEP, LEAVE, OPERATIONS };
static const char *const operation_names[OPERATIONS] = {"put", "put_many", "put_large", "take", "take_large", "return", "abandon", "sleep", "leave"};
static void operates(int number) {
    nshm_queue mine;
    int what = number % 100, r;
    uint64_t n[3] = {100, 101, 102}, lengths[3] = {8, 8, 8};
    const void *from[3] = {&n[0], &n[1], &n[2]};
    open_queue(&mine);
    if (nshm_queue_join(&mine, NSHM_PRODUCER | NSHM_CONSUMER)) exit(CAUGHT);
    countdown = number / 100;
    if (what == PUT) r = put(&mine, 100);
    else if (what == PUT_MANY) r = nshm_queue_put_many(&mine, from, lengths, 3, 0) == 3 ? 0 : CAUGHT;
    else if (what == PUT_LARGE) r = nshm_queue_put(&mine, memcpy(big, n, 8), 1000, 0);
    else if (what == TAKE || what == TAKE_LARGE) r = get_until(&mine, 0) < 0;
    else if (what == RETURN) r = nshm_queue_take(&mine, buffer, sizeof buffer, &w, 0) || nshm_queue_return(&mine, &w);
    else if (what == ABANDON) r = nshm_queue_loan(&mine, &w, 0) || nshm_queue_abandon(&mine, &w);
    else if (what == SLEEP) r = nshm_queue_take(&mine, buffer, sizeof buffer, &w, nshm_now() + 3000000) != -ETIMEDOUT;
    else r = 0, nshm_queue_close(&mine);
    countdown = 0;
    exit(r ? CAUGHT : 0);
}
static int earlier; /* messages that were there when it died a step earlier */
static int one_death(int what, int step) { /* 0: it did not die any more */
    int acknowledged = what == RETURN || what == TAKE_LARGE, before = what == SLEEP ? 0 : 3, status, n = 0;
    uint64_t last = 0;
    fresh(8, 16, 8, acknowledged ? NSHM_QUEUE_ACK : 0, 1000);
    for (int i = 0; i < before; i++)
        must(!(what == TAKE_LARGE ? nshm_queue_put(&q, memcpy(big, &(uint64_t){(uint64_t)i + 1}, 8), 1000, 0) : put(&q, (uint64_t)i + 1)));
    status = ended(child("operates", step * 100 + what));
    must(status == 0 || status == KILLED);
    deadly = step;
    must(!put(&q, 200)); /* others go on */
    for (;;) {
        int64_t got = get_until(&q, nshm_now() + (n ? 20000000 : DUE));
        if (got == -ETIMEDOUT) break;
        must(got > (int64_t)last && (got <= 3 || got == 200 || got >= 100)); /* in order, and nothing twice */
        last = (uint64_t)got;
        n++;
    }
    must(last == 200);
    int most = before + 1 + (what == PUT || what == PUT_LARGE ? 1 : what == PUT_MANY ? 3 : 0), taken = what == TAKE || what == TAKE_LARGE;
    must(n <= most && n >= before + 1 - taken);
    /* the later it died, the more was put, or the more was taken for good */
    must(step == 1 || (taken ? n <= earlier : n >= earlier));
    must(step > 1 || n == before + 1); /* the first step comes before anything is done */
    must(status == KILLED || n == (taken ? before : most));
    earlier = n;
    must(nshm__queue_sweep(&q, NULL) >= 0 && nshm__queue_sweep(&q, NULL) >= 0 && !left_over());
    nshm_queue_close(&q);
    return status;
}
static int first_operation, last_operation = OPERATIONS;
static void whoever_ends_at_any_step_is_no_burden(void) {
    nap = 100000000;
    for (int what = first_operation; what < last_operation; what++) {
        int step = 1;
        running = operation_names[what];
        while (one_death(what, step)) must(++step < 200);
        printf("%s %d\n", operation_names[what], step - 1);
        fflush(stdout);
        must(step > 4);
    }
}

#define known(promise) {#promise, promise}
static const struct {
    const char *name;
    void (*check)(void);
} promises[] = {
    known(first_in_first_out), known(every_length), known(several_at_once), known(loans_stand_in_nobodys_way), known(a_full_queue_drops_its_oldest),
    known(what_is_damaged_is_not_opened), known(names_and_types), known(names_of_every_length), known(a_reader_looks), known(modes_become_rights),
    known(who_waits_is_woken), known(an_event_ends_a_wait), known(shut_down_tells_everybody), known(shut_down_drains), known(it_ends_with_its_producers),
    known(what_a_dead_consumer_had_comes_again), known(a_sleeper_gets_what_a_dead_consumer_had), known(what_is_returned_comes_again),
    known(a_dead_borrowers_chunks_are_lent_again), known(the_dead_make_room_in_the_table), known(nobody_is_taken_for_dead),
    known(a_lock_that_is_held_is_waited_for), known(a_dead_holders_lock_is_taken_over), known(whoever_ends_at_any_step_is_no_burden),
};
const role roles[] = {
    {"takes_one", takes_one}, {"puts_one", puts_one}, {"puts_in_vain", puts_in_vain}, {"borrows_one", borrows_one}, {"takes_and_dies", takes_and_dies},
    {"borrows_and_dies", borrows_and_dies}, {"locks_and_dies", locks_and_dies}, {"operates", operates}, {NULL, NULL},
};

int main(int argc, char **argv) {
    be_a_child(argc, argv);
    for (size_t i = 0; i < sizeof promises / sizeof *promises; i++) {
        if (argc > 1 && !strcmp(argv[1], "list")) puts(promises[i].name);
        if (argc < 2 || strcmp(argv[1], promises[i].name)) continue;
        running = promises[i].name;
        if (argc > 2) first_operation = atoi(argv[2]), last_operation = first_operation + 1;
        promises[i].check();
        return 0;
    }
    return argc > 1 && !strcmp(argv[1], "list") ? 0 : BROKEN;
}
