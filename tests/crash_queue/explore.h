/* explore.h - every interleaving of a small machine: depth first, states told apart by a hash of 64 bits.
 *
 * Before it is included: `state`, a structure without gaps that matter (memset it first).  After: successors(), at_rest(), show().
 */
#ifndef CRASH_EXPLORE_H
#define CRASH_EXPLORE_H
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WAYS = 32, DEEP = 4000 };
typedef struct {
    state s;
    char step[48];
} way;

static int successors(const state *s, way *out); /* how many; may set `violation` */
static void at_rest(const state *s);             /* nothing can move any more: is that as it should be?  may set `violation` */
static void show(const state *s);

static const char *violation;
static uint64_t *seen, seen_mask, states, ends;

static uint64_t hash_of(const void *p, size_t n) {
    const uint8_t *b = p;
    uint64_t h = 0x9e3779b97f4a7c15ULL, word;
    for (; n >= 8; b += 8, n -= 8) {
        memcpy(&word, b, 8);
        h = (h ^ word) * 0xff51afd7ed558ccdULL;
        h ^= h >> 32;
    }
    word = 0;
    memcpy(&word, b, n);
    h = (h ^ word) * 0xc4ceb9fe1a85ec53ULL;
    h ^= h >> 29;
    h *= 0x94d049bb133111ebULL;
    h ^= h >> 31;
    return h ? h : 1;
}
static int is_new(const state *s) {
    uint64_t h = hash_of(s, sizeof *s);
    for (uint64_t i = h & seen_mask;; i = (i + 1) & seen_mask) {
        if (seen[i] == h) return 0;
        if (seen[i]) continue;
        seen[i] = h;
        if (++states > seen_mask / 10 * 8) {
            fprintf(stderr, "more states than there is room for\n");
            exit(2);
        }
        return 1;
    }
}
/* Visit every state that can be reached.  `bits`: of the table's size.  With a violation, `tell`: print the way there. */
static void explore(const state *first, int bits, int tell) {
    way *path = malloc(sizeof *path * DEEP), (*open)[WAYS] = malloc(sizeof *open * DEEP);
    int *left = malloc(sizeof *left * DEEP), depth = 0;
    seen_mask = (1ULL << bits) - 1;
    seen = calloc(seen_mask + 1, sizeof *seen);
    if (!path || !open || !left || !seen) exit(2);
    path[0].s = *first;
    is_new(first);
    left[0] = successors(first, open[0]);
    while (depth >= 0 && !violation) {
        if (!left[depth]) {
            depth--;
            continue;
        }
        way *next = &open[depth][--left[depth]];
        if (!is_new(&next->s)) continue;
        if (++depth >= DEEP) exit(2);
        path[depth] = *next;
        left[depth] = successors(&next->s, open[depth]);
        if (left[depth] || violation) continue;
        ends++;
        at_rest(&next->s);
    }
    for (int i = 1; violation && tell && i <= depth; i++) fprintf(stderr, "   %3d %s\n", i, path[i].step);
    if (violation && tell) show(&path[depth].s);
    free(path);
    free(open);
    free(left);
    free(seen);
}
#endif
