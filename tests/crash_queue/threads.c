/* threads.c - threads of one process put and take through one handle: for ThreadSanitizer, which knows memory by its address.
 *
 *   threads MESSAGES SEED    so many from each producer
 *
 * Every byte of every message is written and read plainly.  What was put is what was taken: counts and sums.
 */
#include "queues.h"

enum { PRODUCERS = 3, CONSUMERS = 3, LARGE = 320, SMALL = 24 };
static nshm_queue q;
static uint64_t many;
static struct {
    uint64_t count, sum;
} put[PRODUCERS], taken[CONSUMERS];
static _Atomic int over, wrong;

static void *produce(void *which) {
    int me = (int)(intptr_t)which;
    uint64_t words[LARGE / 8], lengths[2] = {16, SMALL};
    const void *from[2] = {words, words};
    nshm_queue_window w;
    for (uint64_t i = 0; i < many; i++) {
        int r = 0;
        for (int k = 0; k < LARGE / 8; k++) words[k] = i * PRODUCERS + (uint64_t)me;
        switch (i % 4) {
        case 0: r = nshm_queue_put_many(&q, from, lengths, 2, INT64_MAX); break;
        case 1: r = nshm_queue_put(&q, words, SMALL, INT64_MAX) ? -1 : 1; break;
        case 2: r = nshm_queue_put(&q, words, LARGE, INT64_MAX) ? -1 : 1; break;
        default:
            if (nshm_queue_loan(&q, &w, INT64_MAX)) r = -1;
            else {
                memcpy(w.data, words, LARGE);
                r = nshm_queue_commit(&q, &w, LARGE, INT64_MAX) ? -1 : 1;
            }
        }
        if (r < 0) wrong = 1;
        else put[me].count += (uint64_t)r, put[me].sum += (uint64_t)r * words[0];
    }
    return NULL;
}
static void *consume(void *which) {
    int me = (int)(intptr_t)which, r;
    char buffer[256];
    nshm_queue_window w[4];
    for (;;) {
        r = nshm_queue_take_many(&q, buffer, sizeof buffer, w, me % 2 ? 4 : 1, nshm_now() + 50000000);
        if (r == -EPIPE) return NULL;
        if (r < 0 && r != -ETIMEDOUT) wrong = 2;
        for (int i = 0; i < r; i++) {
            uint64_t first, next;
            memcpy(&first, w[i].data, 8);
            for (uint64_t at = 8; at < w[i].length; at += 8) {
                memcpy(&next, (char *)w[i].data + at, 8);
                if (next != first) wrong = 3;
            }
            taken[me].count++;
            taken[me].sum += first;
            if (nshm_queue_release(&q, &w[i])) wrong = 4;
        }
    }
}
static void *look(void *unused) {
    nshm_queue_statistics s;
    nshm_queue_participant p;
    while (!over) {
        uint32_t cursor = 0;
        nshm_queue_stat(&q, &s);
        while (!nshm_queue_next_participant(&q, &cursor, &p)) {}
        if (s.waiting > q.capacity) wrong = 5;
        if (nshm__queue_sweep(&q, NULL) < 0) wrong = 6;
        usleep(1000);
    }
    return unused;
}

int main(int argc, char **argv) {
    pthread_t threads[PRODUCERS + CONSUMERS + 1];
    uint64_t puts = 0, takes = 0, sum = 0;
    int k;
    many = argc > 1 ? strtoull(argv[1], NULL, 0) : 2000;
    begin_scope("threads");
    start = starting(16, SMALL, 6, 0, LARGE);
    make_queue(&q);
    q.spin = argc > 2 && atoi(argv[2]) % 2 ? 1000 : 0;
    for (k = 0; k < PRODUCERS; k++) pthread_create(&threads[k], NULL, produce, (void *)(intptr_t)k);
    for (int c = 0; c < CONSUMERS; c++) pthread_create(&threads[k++], NULL, consume, (void *)(intptr_t)c);
    pthread_create(&threads[k], NULL, look, NULL);
    for (k = 0; k < PRODUCERS; k++) pthread_join(threads[k], NULL);
    if (nshm_queue_shut_down(&q, NSHM_QUEUE_DRAIN)) wrong = 7;
    for (; k < PRODUCERS + CONSUMERS; k++) pthread_join(threads[k], NULL);
    over = 1;
    pthread_join(threads[k], NULL);
    for (k = 0; k < PRODUCERS; k++) puts += put[k].count, sum += put[k].sum;
    for (k = 0; k < CONSUMERS; k++) takes += taken[k].count, sum -= taken[k].sum;
    printf("put=%lu taken=%lu wrong=%d\n", puts, takes, wrong);
    if (puts != takes || sum || wrong || left_over(&q)) return CAUGHT;
    nshm_queue_close(&q);
    return 0;
}
