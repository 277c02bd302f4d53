/* wishes.c - who is woken, as a small machine: writers that look at the wishes, readers that raise them and sleep; with kills at every step.
 *
 *   wishes CASE          explore it: exit status 0 if it holds, or if it is a planted flaw and was found
 *   wishes list [long]   the cases; with `long`, those that take minutes and gigabytes
 *
 * The steps are those of topic_wait.h.  Each is one access to a shared word, in the order of the program: what the fences are for is not
 * looked at here.  Sleepers are woken in any order.  At rest, when no writer has anything more to publish, nobody may sleep on an old value.
 *
 * A kill may leave a sleeper to its nap: if a writer dies after `latest` changed and before its wake-up, or a reader that was woken before it
 * has passed that on.  The next value makes up for it: so a kill before the last value excuses nobody.
 */
#include <stdint.h>

enum { PROCESSES = 5 };
typedef struct {
    uint8_t lock, latest, wishes, served;
    uint8_t pc[PROCESSES], life[PROCESSES], left[PROCESSES];     /* left: values to be published */
    uint8_t word[PROCESSES], after[PROCESSES], before[PROCESSES], now[PROCESSES], wakes[PROCESSES], woke[PROCESSES];
    uint8_t kills, excused;
} state;
#include "../crash_queue/explore.h"

enum { LIVES, DEAD, DONE }; /* done: a writer; readers wait for ever */
enum { LOCK, BEFORE, CHANGE, UNLOCK, LOOK, WAKE, WAKE_ANYBODY, SERVED, READ, WISH, AGAIN, SLEEP, ASLEEP, WOKEN, PASS };
static const char *const names[] = {"lock", "before", "change", "unlock", "look", "wake", "wake anybody", "served", "read", "wish", "again", "sleep", "asleep", "woken", "pass"};
enum flaw {
    SOUND, SERVED_IS_WHAT_WAS_READ_LAST, WISHES_BEFORE_IT_READS, NOT_PASSED_ON, LOOKS_BEFORE_IT_CHANGES, SERVED_THOUGH_IT_WOKE,
    PASSED_ON_BY_THE_CONTENT_ONLY, PASSED_TO_ANYBODY, WOKEN_ANYBODY, NO_WISH, ONE_LOOK
};
typedef struct {
    const char *name;
    int is_long;
    const char *who; /* W and R, and F: a reader that waits for the value after the next */
    int values, wakes, passes, kills;
    enum flaw flaw;
} example;
static const example *c;
static int all(void) { return (int)strlen(c->who); }
static int writes(int i) { return c->who[i] == 'W'; }
static int sleeps(const state *s, int i) { return s->life[i] == LIVES && s->pc[i] == ASLEEP; }
/* May i's wake-up go to k? */
static int wakes(const state *s, int i, int k) {
    int anybody = s->pc[i] == WAKE_ANYBODY || c->flaw == (writes(i) ? WOKEN_ANYBODY : PASSED_TO_ANYBODY);
    return sleeps(s, k) && s->wakes[i] && (anybody || s->word[k] != s->now[i]);
}
static int wakes_somebody(const state *s, int i) {
    for (int k = 0; k < all(); k++)
        if (wakes(s, i, k)) return 1;
    return 0;
}
static void published(state *s, int i) {
    if (--s->left[i]) s->pc[i] = LOCK;
    else s->life[i] = DONE;
    s->before[i] = s->word[i] = s->now[i] = s->wakes[i] = s->woke[i] = 0;
}
static int write_step(state *s, int i) {
    switch (s->pc[i]) {
    case LOCK:
        if (s->lock) return 0;
        s->lock = (uint8_t)(i + 1);
        s->pc[i] = BEFORE;
        return 1;
    case BEFORE:
        s->before[i] = s->wishes;
        s->word[i] = s->served;
        s->pc[i] = CHANGE;
        return 1;
    case CHANGE:
        s->now[i] = ++s->latest;
        s->excused = 0;
        s->pc[i] = UNLOCK;
        return 1;
    case UNLOCK:
        s->lock = 0;
        s->pc[i] = LOOK;
        return 1;
    case LOOK:
        if (c->flaw == LOOKS_BEFORE_IT_CHANGES ? s->before[i] == s->word[i] : s->wishes == s->served) {
            published(s, i);
            return 1;
        }
        if (c->flaw == SERVED_IS_WHAT_WAS_READ_LAST) s->before[i] = s->wishes;
        s->wakes[i] = (uint8_t)c->wakes;
        s->pc[i] = WAKE;
        return 1;
    case WAKE: /* there is nobody left to be woken, or enough were: see successors */
    case WAKE_ANYBODY:
        if (wakes_somebody(s, i)) return 0;
        if (s->woke[i] && c->flaw != SERVED_THOUGH_IT_WOKE) published(s, i);
        else s->pc[i] = s->pc[i] == WAKE ? WAKE_ANYBODY : SERVED;
        return 1;
    default:
        s->served = s->before[i];
        published(s, i);
        return 1;
    }
}
static void lie_down(state *s, int i) { s->pc[i] = c->flaw == WISHES_BEFORE_IT_READS ? WISH : READ; }
static int read_step(state *s, int i) {
    switch (s->pc[i]) {
    case READ:
        s->word[i] = s->latest;
        if (s->latest > s->after[i]) { /* it has what it wanted: on to the next one */
            s->after[i] = s->latest;
            lie_down(s, i);
        } else s->pc[i] = c->flaw == WISHES_BEFORE_IT_READS ? SLEEP : c->flaw == NO_WISH ? AGAIN : WISH;
        return 1;
    case WISH:
        s->wishes++;
        s->pc[i] = c->flaw == WISHES_BEFORE_IT_READS ? READ : AGAIN;
        return 1;
    case AGAIN:
        if (c->flaw == ONE_LOOK) s->word[i] = s->latest;
        if (s->latest == s->word[i]) s->pc[i] = SLEEP;
        else lie_down(s, i);
        return 1;
    case SLEEP: /* the kernel compares and lies down in one step */
        if (s->latest == s->word[i]) s->pc[i] = ASLEEP;
        else lie_down(s, i);
        return 1;
    case WOKEN:
        s->now[i] = s->latest;
        if (s->now[i] == s->word[i] || c->flaw == NOT_PASSED_ON || (c->flaw == PASSED_ON_BY_THE_CONTENT_ONLY && s->now[i] <= s->after[i])) {
            lie_down(s, i);
            s->now[i] = 0;
            return 1;
        }
        s->wakes[i] = (uint8_t)c->passes;
        s->pc[i] = PASS;
        return 1;
    case PASS:
        if (wakes_somebody(s, i)) return 0;
        s->now[i] = s->wakes[i] = 0;
        lie_down(s, i);
        return 1;
    default: return 0;
    }
}
static void name_step(way *w, const char *what, int i, const char *where) { snprintf(w->step, sizeof w->step, "%s %c%d %s", what, c->who[i], i, where); }
static int successors(const state *s, way *out) {
    int n = 0;
    for (int i = 0; i < all(); i++) {
        if (s->life[i] != LIVES) continue;
        out[n].s = *s;
        if (writes(i) ? write_step(&out[n].s, i) : read_step(&out[n].s, i)) name_step(&out[n++], "", i, names[s->pc[i]]);
        for (int k = 0; (s->pc[i] == WAKE || s->pc[i] == WAKE_ANYBODY || s->pc[i] == PASS) && k < all(); k++) {
            if (!wakes(s, i, k)) continue;
            out[n].s = *s;
            out[n].s.pc[k] = WOKEN;
            out[n].s.wakes[i]--;
            out[n].s.woke[i] = (uint8_t)writes(i);
            snprintf(out[n].step, sizeof out[n].step, "%c%d wakes %d", c->who[i], i, k);
            n++;
        }
        if (s->kills >= c->kills) continue;
        state *t = &out[n].s;
        *t = *s;
        t->life[i] = DEAD;
        t->kills++;
        if (t->lock == i + 1) t->lock = 0; /* the kernel gives it up */
        if (writes(i) ? s->pc[i] >= UNLOCK && s->pc[i] <= WAKE_ANYBODY : s->pc[i] == WOKEN || s->pc[i] == PASS) t->excused = 1;
        t->pc[i] = t->word[i] = t->after[i] = t->before[i] = t->now[i] = t->wakes[i] = t->woke[i] = t->left[i] = 0;
        name_step(&out[n++], "KILL", i, names[s->pc[i]]);
    }
    return n;
}
static void at_rest(const state *s) {
    for (int i = 0; i < all(); i++) {
        if (s->life[i] != LIVES) continue;
        if (!sleeps(s, i)) violation = "blocked";
        else if (s->word[i] != s->latest && !s->excused) violation = "somebody sleeps on an old value";
    }
}
static void show(const state *s) {
    fprintf(stderr, "   latest %d wishes %d served %d lock %d", s->latest, s->wishes, s->served, s->lock);
    for (int i = 0; i < all(); i++) fprintf(stderr, " %c%d: %s word %d after %d", c->who[i], i, names[s->pc[i]], s->word[i], s->after[i]);
    fprintf(stderr, "\n");
}

/* who, values of each writer, how many a writer wakes, how many a reader wakes, kills */
static const example examples[] = {
    {"one_reader", 0, "WR", 3, 1, 1, 0, SOUND},
    {"two_readers", 0, "WRR", 3, 1, 1, 0, SOUND},
    {"three_readers", 0, "WRRR", 2, 1, 1, 0, SOUND},
    {"three_readers_as_it_is", 0, "WRRR", 2, 4, 2, 0, SOUND},
    {"two_writers", 0, "WWRR", 1, 1, 1, 0, SOUND},
    {"one_waits_for_a_later_value", 0, "WRF", 3, 1, 1, 0, SOUND},
    {"one_reader_a_kill", 0, "WWR", 2, 1, 1, 1, SOUND},
    {"two_readers_a_kill", 0, "WRR", 3, 1, 1, 1, SOUND},
    {"two_readers_two_writers_a_kill", 0, "WWRR", 1, 1, 1, 1, SOUND},
    {"three_readers_two_kills", 0, "WRRR", 2, 1, 1, 2, SOUND},
    {"two_writers_twice", 1, "WWR", 2, 1, 1, 2, SOUND},
    {"four_readers", 1, "WRRRR", 1, 1, 1, 1, SOUND},
    {"flaw_wishes_read_afterwards_are_served", 0, "WR", 2, 1, 1, 0, SERVED_IS_WHAT_WAS_READ_LAST},
    {"flaw_a_wish_is_raised_before_latest_is_read", 0, "WF", 3, 1, 1, 0, WISHES_BEFORE_IT_READS},
    {"flaw_it_sleeps_on_what_it_read_after_its_wish", 0, "WF", 3, 1, 1, 0, ONE_LOOK},
    {"flaw_a_wake_up_is_not_passed_on", 0, "WRR", 1, 1, 1, 0, NOT_PASSED_ON},
    {"flaw_a_wake_up_is_passed_on_by_who_got_something_only", 0, "WRF", 1, 1, 1, 0, PASSED_ON_BY_THE_CONTENT_ONLY},
    {"flaw_a_wake_up_is_passed_to_anybody", 0, "WRRR", 1, 1, 1, 0, PASSED_TO_ANYBODY},
    {"flaw_anybody_is_woken", 0, "WRR", 1, 1, 1, 0, WOKEN_ANYBODY},
    {"flaw_wishes_are_looked_at_before_latest_changes", 0, "WR", 1, 1, 1, 0, LOOKS_BEFORE_IT_CHANGES},
    {"flaw_wishes_are_served_though_somebody_was_woken", 0, "WRR", 2, 1, 1, 1, SERVED_THOUGH_IT_WOKE},
    {"flaw_nobody_wishes", 0, "WR", 1, 1, 1, 0, NO_WISH},
};
enum { EXAMPLES = sizeof examples / sizeof *examples };

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "";
    state first;
    for (int i = 0; i < EXAMPLES; i++) {
        if (!strcmp(name, "list") && examples[i].is_long <= (argc > 2)) puts(examples[i].name);
        if (!strcmp(name, examples[i].name)) c = &examples[i];
    }
    if (!c) return strcmp(name, "list") ? 2 : 0;
    memset(&first, 0, sizeof first);
    for (int i = 0; i < all(); i++) {
        first.left[i] = (uint8_t)(writes(i) ? c->values : 0);
        first.after[i] = c->who[i] == 'F';
        if (!writes(i)) lie_down(&first, i);
    }
    explore(&first, c->is_long ? 28 : 24, c->flaw == SOUND);
    printf("%s\nstates=%lu ends=%lu\n", violation ? violation : "holds", states, ends);
    return (violation != NULL) != (c->flaw != SOUND);
}
