/* threads.c - threads of one process write, read and pin through one handle: for ThreadSanitizer, which knows memory by its address.
 *
 *   threads VALUES SEED    so many from each writer
 *
 * Every byte of a frame that is pinned is read plainly.  What may be overtaken is copied as the header does it for that sanitizer
 * (nshm__topic_copy_out), and so it has to be written (nshm__topic_copy_in).  Each value is one number all over.
 */
#include "topics.h"

enum { WRITERS = 2, PINNERS = 2, COPIERS = 2, LARGE = 480, SMALL = 24 };
static nshm_topic t;
static uint64_t many;
static _Atomic int wrong, over;
static _Atomic uint64_t reads, pinned;

static void *write_on(void *which) {
    uint64_t words[LARGE / 8];
    nshm_topic_window w;
    for (uint64_t i = 1; i <= many; i++) {
        for (int k = 0; k < LARGE / 8; k++) words[k] = i * WRITERS + (uint64_t)(intptr_t)which;
        if (i % 3 == 0) {
            if (nshm_topic_publish(&t, words, SMALL, INT64_MAX, NULL)) wrong = 1;
        } else if (i % 3 == 1) {
            if (nshm_topic_publish(&t, words, LARGE, INT64_MAX, NULL)) wrong = 2;
        } else {
            if (nshm_topic_loan(&t, &w, INT64_MAX)) wrong = 3;
            nshm__topic_copy_in(w.data, words, LARGE);
            if (i % 8 ? nshm_topic_commit(&t, &w, LARGE, INT64_MAX) : nshm_topic_abandon(&t, &w)) wrong = 4;
        }
    }
    return NULL;
}
static void check(const nshm_topic_window *w, int code) {
    const uint64_t *words = (const uint64_t *)w->data;
    for (uint64_t k = 0; k < w->length / 8; k++)
        if (words[k] != words[0]) wrong = code;
}
static void *pin_on(void *which) {
    uint64_t after = 0, buffer[LARGE / 8];
    nshm_topic_window w;
    for (int r; (r = (uintptr_t)which % 2 ? nshm_topic_pin(&t, after, buffer, sizeof buffer, &w, INT64_MAX)
                                          : nshm_topic_pin_next(&t, after, buffer, sizeof buffer, &w, INT64_MAX)) != -EPIPE;) {
        if (r == -EBUSY) continue;
        if (r) wrong = 5;
        check(&w, 6);
        after = w.number;
        pinned += w.holder != 0;
        if (nshm_topic_release(&t, &w)) wrong = 7;
    }
    return NULL;
}
static void *copy_on(void *which) {
    uint64_t after = 0, buffer[LARGE / 8];
    nshm_topic_window w;
    for (int r; (r = (uintptr_t)which % 2 ? nshm_topic_latest(&t, after, buffer, sizeof buffer, &w, INT64_MAX)
                                          : nshm_topic_next(&t, after, buffer, sizeof buffer, &w, INT64_MAX)) != -EPIPE;) {
        if (r == -EBUSY) continue;
        if (r || w.number <= after) wrong = 8;
        check(&w, 9);
        after = w.number;
        reads++;
    }
    return NULL;
}
static void *look(void *unused) {
    nshm_topic_statistics s;
    nshm_topic_participant p;
    while (!over) {
        uint32_t cursor = 0;
        nshm_topic_stat(&t, &s);
        while (!nshm_topic_next_participant(&t, &cursor, &p)) {}
        if (s.free_frames > t.frames || nshm__topic_sweep(&t) < 0) wrong = 10;
        usleep(1000);
    }
    return unused;
}

int main(int argc, char **argv) {
    pthread_t threads[WRITERS + PINNERS + COPIERS + 1];
    int k = 0;
    many = argc > 1 ? strtoull(argv[1], NULL, 0) : 2000;
    begin_scope("threads");
    start = starting(2, SMALL, PINNERS, 2, LARGE);
    make_topic(&t);
    t.spin = argc > 2 && atoi(argv[2]) % 2 ? 1000 : 0;
    for (; k < WRITERS; k++) pthread_create(&threads[k], NULL, write_on, (void *)(intptr_t)k);
    for (int i = 0; i < PINNERS; i++) pthread_create(&threads[k++], NULL, pin_on, (void *)(intptr_t)i);
    for (int i = 0; i < COPIERS; i++) pthread_create(&threads[k++], NULL, copy_on, (void *)(intptr_t)i);
    pthread_create(&threads[k], NULL, look, NULL);
    for (k = 0; k < WRITERS; k++) pthread_join(threads[k], NULL);
    if (nshm_topic_end(&t)) wrong = 11;
    for (; k < WRITERS + PINNERS + COPIERS; k++) pthread_join(threads[k], NULL);
    over = 1;
    pthread_join(threads[k], NULL);
    printf("published=%lu reads=%lu pinned=%lu wrong=%d\n", nshm_topic_number(&t), (unsigned long)reads, (unsigned long)pinned, (int)wrong);
    if (wrong || left_over(&t)) return CAUGHT;
    nshm_topic_close(&t);
    return 0;
}
