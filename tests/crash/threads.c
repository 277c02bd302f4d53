/* threads.c - threads of one process share a scope: they create, open and close the same names at once.
 * Run it with AddressSanitizer: a token or a data segment unmapped twice, or while another thread uses it, is seen there. */
#include "common.h"

#include "namedshm.h"
#include <pthread.h>

enum { THREADS = 4, NAMES = 2 };
static nshm_scope scope;
static int turns;
static _Atomic long creates, opens, errors;

static void *work(void *argument) {
    uint64_t state = (uint64_t)(uintptr_t)argument * 0x9e3779b97f4a7c15ULL + 1;
    for (int i = 0; i < turns; i++) {
        char name[16];
        nshm_handle h;
        state = state * 6364136223846793005ULL + 1442695040888963407ULL;
        size_t n = (size_t)sprintf(name, "t%d", (int)(state >> 40) % NAMES);
        int r = state >> 60 & 1 ? nshm_open(&scope, NSHM_SECTION, name, n, 0, &h)
                                : nshm_create(&scope, NSHM_SECTION, name, n, 100, 0600, -1, 0, 0, 0, NULL, NULL, &h);
        if (r) {
            if (r != -ENOENT) atomic_fetch_add(&errors, 1);
            continue;
        }
        atomic_fetch_add(h.created ? &creates : &opens, 1);
        uint64_t *word = h.data, old = 0;
        if (!__atomic_compare_exchange_n(word, &old, h.nonce, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) && old != h.nonce)
            atomic_fetch_add(&errors, 1); /* another object's content */
        nshm_close(&h, 0);
    }
    return NULL;
}

int main(int argc, char **argv) {
    pthread_t threads[THREADS];
    char session[64];
    turns = argc > 1 ? atoi(argv[1]) : 3000;
    snprintf(session, sizeof session, "threads-%d-%lx", (int)getpid(), (long)time(NULL));
    enter_own_world();
    nshm_scope_init(&scope, NSHM_LOCAL, session, -1, 1);
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)(i + 1))) broken("pthread_create");
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    printf("creates=%ld opens=%ld errors=%ld\n", creates, opens, errors);
    return errors ? CAUGHT : 0;
}
