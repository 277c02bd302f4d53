/* tally.h - what the storms share: counts of what happened and of violations, in memory that all their processes have.
 *
 * Before it is included: enums of both that end with VIOLATIONS and COUNTERS, and their names in violation_name and counter_name.
 * In main: begin_tally().
 */
#ifndef CRASH_TALLY_H
#define CRASH_TALLY_H
#include "common.h"

static struct {
    _Atomic long violations[VIOLATIONS], counters[COUNTERS];
} *tally;

static inline void begin_tally(void) { tally = shared_memory(sizeof *tally); }
static inline void count(int counter) { atomic_fetch_add_explicit(&tally->counters[counter], 1, memory_order_relaxed); }
static inline void __attribute__((format(printf, 2, 3))) violation(int kind, const char *format, ...) {
    va_list list;
    char text[300];
    if (atomic_fetch_add(&tally->violations[kind], 1) >= 3) return; /* the first ones tell the story */
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    fprintf(stderr, "%s: %s\n", violation_name[kind], text);
}
static inline long all_violations(void) {
    long sum = 0;
    for (int i = 0; i < VIOLATIONS; i++) sum += atomic_load(&tally->violations[i]);
    return sum;
}
/* The end of a report's line: name=value of each. */
static inline void print_tally(void) {
    for (int i = 0; i < COUNTERS; i++) printf(" %s=%ld", counter_name[i], atomic_load(&tally->counters[i]));
    for (int i = 0; i < VIOLATIONS; i++) printf(" %s=%ld", violation_name[i], atomic_load(&tally->violations[i]));
    printf("\n");
}
#endif
