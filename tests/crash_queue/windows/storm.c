/* storm.c - the storm of ../storm.c on Windows: producers and consumers are killed at random moments, and end themselves at random steps.
 *
 *   storm keep KIND NAME                            makes the queue and what they tell; reads commands, and answers each with a line:
 *                                                   look: how many were taken and killed themselves; stop: no producer goes on; over: nobody
 *                                                   does; judge INCARNATIONS DEAD-CONSUMERS: what was wrong, and ends
 *   storm put KIND NAME SALT STEPS INCARNATION      a producer until it is stopped, which ends itself after so many steps (0: not)
 *   storm take KIND NAME SALT STEPS                 a consumer until all is over
 *
 * Who starts and kills them is outside: tests/backends/test_windows_queue.py.
 */
#include "programs.h"

#define CRASH_COMMON_H /* what oracle.h needs of it, on Windows: */
static uint64_t random_state = 88172645463325252ULL;
static uint64_t random_word(void) { /* xorshift64 */
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}
static uint32_t below(uint32_t limit) { return (uint32_t)((random_word() >> 16) % limit); }
static void stir(uint64_t salt) {
    random_state ^= (salt + 1) * 0x9e3779b97f4a7c15ULL;
    if (!random_state) random_state = 1;
    for (int i = 0; i < 4; i++) random_word();
}
/* The first call gives all processes of a storm the same memory, and so does the second. */
static void *shared_memory(size_t size) {
    static int number;
    char text[100];
    snprintf(text, sizeof text, "%s-memory-%d", name, number++);
    HANDLE section = CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, (DWORD)(size >> 32), (DWORD)size, text);
    void *at = section ? MapViewOfFile(section, FILE_MAP_ALL_ACCESS, 0, 0, 0) : NULL;
    if (!at) broken("%llu shared bytes", (unsigned long long)size);
    return at;
}
#define JOURNAL (1 << 23)
#include "../oracle.h"

const role roles[] = {{NULL, NULL}};

static void told_before_death(void) { count(SELFKILLS); }
static int left_over(nshm_queue *q) {
    int n = 0;
    for (uint32_t c = 0; c < q->chunks; c++) n += q->chunk[c].owner != 0;
    for (uint32_t i = 0; i < q->participants; i++) n += i != q->entry && q->entries[i].word != 0;
    return n;
}
static int keep(void) {
    nshm_queue q;
    char line[100];
    long dead;
    nshm_queue_start start = starting(kinds[kind].capacity, kinds[kind].inline_max, kinds[kind].chunks, kinds[kind].mode | NSHM_QUEUE_ENDS,
                                      kinds[kind].large ? kinds[kind].large : kinds[kind].small);
    start.participants = 64;
    int r = nshm_queue_create(&scope, name, strlen(name), 0600, -1, NSHM_EXCLUSIVE, &start, &q);
    if (r) broken("create: %d", r);
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        if (!strncmp(line, "stop", 4)) world->stop = 1;
        if (!strncmp(line, "over", 4)) world->over = 1;
        if (sscanf(line, "judge %u %ld", &incarnations, &dead) == 2) break;
        printf("%llu %ld\n", (unsigned long long)nshm__peek(&q.head->get.cursor, RELAXED), atomic_load(&tally->counters[SELFKILLS]));
        fflush(stdout);
    }
    dead_consumers = dead;
    judge(&q);
    if (nshm_queue_join(&q, NSHM_CONSUMER)) violation(ERR, "join"); /* to look for the dead it takes part */
    for (int i = 0; i < 2; i++)
        if (nshm__queue_sweep(&q, NULL) < 0) violation(ERR, "sweep");
    if (left_over(&q)) violation(LEAKED, "%d chunks or entries", left_over(&q));
    nshm_queue_close(&q);
    print_tally();
    return all_violations() ? CAUGHT : 0;
}
int main(int argc, char **argv) {
    nshm_queue q;
    if (argc < 4) return BROKEN;
    nshm_scope_init(&scope, NSHM_LOCAL, NULL, -1, 1);
    running = argv[1];
    snprintf(name, sizeof name, "%s", argv[3]);
    for (kind = 0; kind < KINDS && strcmp(kinds[kind].name, argv[2]); kind++) {}
    if (kind == KINDS) broken("no such kind");
    world = (__typeof__(world))shared_memory(sizeof *world);
    begin_tally();
    if (!strcmp(running, "keep")) return keep();
    if (argc < 6) return BROKEN;
    stir(strtoull(argv[4], NULL, 0));
    before_death = told_before_death;
    open_queue(&q);
    int r = nshm_queue_join(&q, !strcmp(running, "put") ? NSHM_PRODUCER : NSHM_CONSUMER);
    if (r) violation(ERR, "join: %d", r);
    puts("ready");
    fflush(stdout);
    countdown = atoi(argv[5]);
    if (!strcmp(running, "take")) consume(&q);
    else if (argc > 6 && (uint32_t)atoi(argv[6]) < INCARNATIONS) produce(&q, (uint32_t)atoi(argv[6]));
    countdown = 0;
    nshm_queue_close(&q);
    return 0;
}
