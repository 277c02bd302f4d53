/* bells.c - the wake-ups of Windows (queue_lock_windows.h) as a small machine: every interleaving, with kills at every step.
 *
 *   bells CASE     explore it: exit status 0 if it holds, or if it is a planted flaw and was found
 *   bells list     the cases
 *
 * One end: producers publish under its lock, consumers sleep on its bell, one may shut the queue down.  The steps are those of
 * nshm__queue_lock, nshm__queue_unlock, nshm__queue_wake, nshm__queue_ring, nshm__queue_alert, nshm__queue_sleep and nshm__queue_wait: each
 * load, compare-and-swap and system call one.  The ring itself is a number here (wakes.c has it in full).  Nobody looks by himself: what
 * only a nap would end is "stuck".
 *
 * What is known to be left to a nap is told apart: `excused`, somebody was killed who had taken SLEEPERS off and not set it again, or who
 * came when the bell was set and had not set it yet, or who was telling others of the end; and `owed`, a wake-up died with who had it,
 * which the next message makes good.
 * It is no proof about the code in C.  Who changes the protocol there changes it here.
 */
#include <stdint.h>

enum { MOST = 5 };
typedef struct {
    uint8_t owner, sleepers, bell, shut, messages;
    uint8_t pc[MOST], left[MOST], rings[MOST], waited[MOST], dead[MOST], unanswered[MOST], set[MOST]; /* set: its bell was, when it came */
    uint8_t over[MOST], kills, timeouts, excused, owed;
} state;
#include "explore.h"

enum { LOCK, PUBLISH, UNLOCK, RING, SET, TRY, ARM, LOOK, WAIT, ASLEEP, WOKEN, RESULT, PASS, ANSWERED, END_RING, SHUT, OVER, ALL_RING, CLEAR, DONE };
static const char *const names[] = {
    "lock", "publish", "unlock", "ring", "set SLEEPERS", "try", "arm", "look", "wait", "asleep", "woken", "result", "pass on", "is it over?",
    "pass the end on", "shut down", "over", "ring for all", "clear", "done",
};
enum flaw { SOUND, WOKEN_SETS_NOTHING, RINGER_SETS_NOTHING, LOOKS_FIRST, NOTHING_PASSED, END_NOT_PASSED, RINGS_BEFORE, UNLOCK_LEAVES_NO_MARK, RINGS_ONCE_FOR_ALL };
typedef struct {
    const char *name;
    int producers, consumers, messages, quota, batch, closer, kills, timeouts; /* quota: messages after which a consumer leaves; 0: never */
    enum flaw flaw;
} example;
static const example *c;

static int all(void) { return c->producers + c->consumers + c->closer; }
static int puts_(int i) { return i < c->producers; }
static int takes(int i) { return !puts_(i) && i < c->producers + c->consumers; }
static int nothing(const state *s) { return !s->messages; }

static way *more(const state *s, way *out, int *n, int i, const char *what) {
    way *w = &out[(*n)++];
    w->s = *s;
    snprintf(w->step, sizeof w->step, "%s %d: %s", puts_(i) ? "producer" : takes(i) ? "consumer" : "closer", i, what);
    return w;
}
/* After ringing, or if there was nobody to ring for. */
static uint8_t after(const state *s, int i) {
    if (puts_(i)) return s->left[i] ? LOCK : DONE;
    if (!takes(i)) return DONE;
    return s->left[i] == 0 && c->quota ? DONE : s->shut ? OVER : TRY;
}
/* SLEEPERS is taken off, if it is set: ring n times, or nobody has to be woken. */
static void alert(state *s, int i, int n) {
    if (s->sleepers) {
        if (c->flaw != RINGS_BEFORE) s->sleepers = 0;
        s->rings[i] = (uint8_t)n;
        s->pc[i] = RING;
    } else s->pc[i] = after(s, i);
}
/* Its own wait is over: what it found decides where it goes on. */
static void leave_wait(state *s, int i, int ended) {
    s->waited[i] = 0;
    s->over[i] = (uint8_t)ended;
    s->pc[i] = !nothing(s) && c->flaw != NOTHING_PASSED ? PASS : ANSWERED;
}
/* The bell once; then goes on at `again`, or where it had been set at `was_set`. */
static void ring(const state *s, way *out, int *n, int i, int again, int was_set) {
    way *w;
    int any = 0;
    for (int sleeper = 0; sleeper < all(); sleeper++) { /* whoever the kernel chooses */
        if (s->pc[sleeper] != ASLEEP || s->dead[sleeper]) continue;
        any = 1;
        w = more(s, out, n, i, "ring, somebody wakes");
        w->s.pc[sleeper] = WOKEN;
        w->s.unanswered[sleeper] = 1;
        w->s.set[sleeper] = 0;
        if (w->s.rings[i]) w->s.rings[i]--;
        w->s.pc[i] = (uint8_t)again;
    }
    if (any) return;
    w = more(s, out, n, i, s->bell ? "ring, it was set" : "ring, nobody sleeps");
    w->s.bell = 1;
    if (s->bell) w->s.rings[i] = 0;
    else if (w->s.rings[i]) w->s.rings[i]--;
    w->s.pc[i] = (uint8_t)(s->bell ? was_set : again);
}
static uint8_t after_wait(const state *s, int i) { return s->over[i] ? OVER : after(s, i); }
static int busy_ringing(const state *s) {
    for (int i = 0; i < all(); i++)
        if (!s->dead[i] && (s->pc[i] == RING || s->pc[i] == SET)) return 1;
    return 0;
}
static void step(const state *s, way *out, int *n, int i) {
    way *w;
    switch (s->pc[i]) {
    case LOCK:
        if (s->owner && !s->dead[s->owner - 1]) return;
        w = more(s, out, n, i, "lock");
        w->s.owner = (uint8_t)(i + 1);
        w->s.pc[i] = PUBLISH;
        return;
    case PUBLISH:
        w = more(s, out, n, i, "publish");
        w->s.messages += (uint8_t)c->batch;
        w->s.left[i] -= (uint8_t)c->batch;
        if (!busy_ringing(s)) w->s.owed = 0;
        w->s.pc[i] = UNLOCK;
        return;
    case UNLOCK:
        w = more(s, out, n, i, "unlock");
        w->s.owner = 0;
        if (c->flaw == UNLOCK_LEAVES_NO_MARK) w->s.sleepers = 0, w->s.pc[i] = after(&w->s, i);
        else alert(&w->s, i, c->batch);
        return;
    case RING:
        ring(s, out, n, i, s->rings[i] > 1 ? RING : SET, c->flaw == RINGS_BEFORE ? CLEAR : after(s, i));
        return;
    case CLEAR: /* a flaw: it was set before, and is taken off afterwards */
        w = more(s, out, n, i, "take SLEEPERS off");
        w->s.sleepers = 0;
        w->s.pc[i] = after(&w->s, i);
        return;
    case SET:
        w = more(s, out, n, i, "set SLEEPERS");
        w->s.rings[i] = 0;
        if (c->flaw != RINGER_SETS_NOTHING) w->s.sleepers = 1;
        w->s.pc[i] = after(&w->s, i);
        return;
    case TRY:
        if (!nothing(s)) {
            w = more(s, out, n, i, "take");
            w->s.messages--;
            if (c->quota) w->s.left[i]--;
            w->s.pc[i] = s->waited[i] ? RESULT : after(&w->s, i);
        } else {
            w = more(s, out, n, i, s->shut ? "nothing, and over" : "nothing");
            w->s.waited[i] = 1;
            if (s->shut) leave_wait(&w->s, i, 1);
            else w->s.pc[i] = c->flaw == LOOKS_FIRST ? LOOK : ARM;
        }
        return;
    case ARM:
        w = more(s, out, n, i, "arm");
        w->s.sleepers = 1;
        w->s.unanswered[i] = 0;
        w->s.pc[i] = c->flaw == LOOKS_FIRST ? WAIT : LOOK;
        return;
    case LOOK:
        w = more(s, out, n, i, "look");
        w->s.pc[i] = !nothing(s) || s->shut ? TRY : c->flaw == LOOKS_FIRST ? ARM : WAIT;
        return;
    case WAIT:
        w = more(s, out, n, i, s->bell ? "wait: the bell is set" : "wait: falls asleep");
        w->s.unanswered[i] = w->s.set[i] = s->bell;
        w->s.bell = 0;
        w->s.pc[i] = s->bell ? WOKEN : ASLEEP;
        return;
    case ASLEEP:
        if (!s->timeouts) return;
        w = more(s, out, n, i, "time is up");
        w->s.timeouts--;
        if (c->quota) w->s.left[i] = 0;
        leave_wait(&w->s, i, 0);
        return;
    case WOKEN:
        w = more(s, out, n, i, "set SLEEPERS");
        if (c->flaw != WOKEN_SETS_NOTHING) w->s.sleepers = 1;
        w->s.pc[i] = TRY;
        return;
    case RESULT:
        w = more(s, out, n, i, "is there more?");
        leave_wait(&w->s, i, 0);
        return;
    case PASS:
        w = more(s, out, n, i, "pass on");
        w->s.unanswered[i] = 0;
        alert(&w->s, i, 1);
        return;
    case ANSWERED:
        w = more(s, out, n, i, "pass the end on");
        w->s.unanswered[i] = 0;
        w->s.pc[i] = (s->shut || s->over[i]) && c->flaw != END_NOT_PASSED ? END_RING : after_wait(s, i);
        return;
    case END_RING:
        ring(s, out, n, i, after_wait(s, i), after_wait(s, i));
        return;
    case SHUT:
        w = more(s, out, n, i, "shut down");
        w->s.shut = 1;
        w->s.pc[i] = OVER;
        return;
    case OVER:
        if (takes(i)) { /* it takes what is left */
            w = more(s, out, n, i, nothing(s) ? "ends" : "takes on");
            w->s.pc[i] = nothing(s) ? DONE : TRY;
            return;
        }
        w = more(s, out, n, i, "wakes all");
        w->s.rings[i] = MOST + 2;
        w->s.pc[i] = ALL_RING;
        return;
    case ALL_RING:
        ring(s, out, n, i, s->rings[i] > 1 ? ALL_RING : DONE, DONE);
        return;
    default: return;
    }
}
static int successors(const state *s, way *out) {
    int n = 0;
    for (int i = 0; i < all(); i++) {
        if (s->dead[i] || s->pc[i] == DONE) continue;
        step(s, out, &n, i);
        if (!s->kills) continue;
        way *w = more(s, out, &n, i, "is killed");
        w->s.kills--;
        w->s.dead[i] = 1;
        if (s->pc[i] == RING || s->pc[i] == SET || (s->pc[i] == WOKEN && s->set[i])) w->s.excused = 1;
        if (s->pc[i] == UNLOCK || s->unanswered[i]) w->s.owed = 1;
        if (s->shut || (!takes(i) && !puts_(i))) w->s.excused = 1; /* it had not told all */
    }
    return n;
}
static void at_rest(const state *s) {
    for (int i = 0; i < all(); i++) {
        if (s->dead[i] || s->pc[i] != ASLEEP) continue;
        if (s->excused) continue;
        if (s->messages && !s->owed) violation = "it sleeps, and there is a message";
        if (s->shut) violation = "it sleeps, and it is over";
    }
}
static void show(const state *s) {
    fprintf(stderr, "%s: %d messages, owner %d, SLEEPERS %d, bell %d\n", violation, s->messages, s->owner, s->sleepers, s->bell);
    for (int i = 0; i < all(); i++) fprintf(stderr, "   %d %s%s\n", i, names[s->pc[i]], s->dead[i] ? ", dead" : "");
}

static const example cases[] = { /* producers, consumers, messages of each, quota, batch, closer, kills, timeouts */
    {"one_to_one", 1, 1, 4, 0, 1, 0, 0, 0, SOUND},
    {"one_to_three", 1, 3, 4, 0, 1, 0, 0, 0, SOUND},
    {"two_to_two", 2, 2, 3, 0, 1, 0, 0, 0, SOUND},
    {"two_to_two_times_are_up", 2, 2, 2, 0, 1, 0, 0, 2, SOUND},
    {"two_to_three_consumers_leave_after_one", 2, 3, 2, 1, 1, 0, 0, 0, SOUND},
    {"batches_to_three", 1, 3, 4, 0, 2, 0, 0, 0, SOUND},
    {"three_are_told_of_the_end", 1, 3, 2, 0, 1, 1, 0, 0, SOUND},
    {"two_to_two_and_the_end", 2, 2, 2, 0, 1, 1, 0, 0, SOUND},
    {"one_to_two_a_kill", 1, 2, 4, 0, 1, 0, 1, 0, SOUND},
    {"two_to_two_a_kill", 2, 2, 2, 0, 1, 0, 1, 0, SOUND},
    {"two_to_two_two_kills", 2, 2, 2, 0, 1, 0, 2, 0, SOUND},
    {"two_are_told_of_the_end_a_kill", 1, 2, 2, 0, 1, 1, 1, 0, SOUND},
    {"flaw_who_is_woken_does_not_set_sleepers", 2, 3, 2, 1, 1, 0, 0, 0, WOKEN_SETS_NOTHING},
    {"flaw_who_rings_does_not_set_sleepers", 2, 2, 2, 0, 1, 0, 1, 0, RINGER_SETS_NOTHING},
    {"flaw_looks_before_it_arms", 1, 1, 2, 0, 1, 0, 0, 0, LOOKS_FIRST},
    {"flaw_nothing_is_passed_on", 1, 3, 4, 1, 2, 0, 0, 0, NOTHING_PASSED},
    {"flaw_the_end_is_not_passed_on", 1, 3, 2, 0, 1, 1, 0, 0, END_NOT_PASSED},
    {"flaw_sleepers_is_taken_off_after_ringing", 2, 2, 3, 0, 1, 0, 0, 0, RINGS_BEFORE},
    {"flaw_an_unlock_rings_not", 1, 1, 2, 0, 1, 0, 0, 0, UNLOCK_LEAVES_NO_MARK},
    {NULL, 0, 0, 0, 0, 0, 0, 0, 0, SOUND},
};
int main(int argc, char **argv) {
    state first;
    for (c = cases; c->name; c++) {
        if (argc > 1 && !strcmp(argv[1], "list")) puts(c->name);
        if (argc < 2 || strcmp(argv[1], c->name)) continue;
        memset(&first, 0, sizeof first);
        first.kills = (uint8_t)c->kills;
        first.timeouts = (uint8_t)c->timeouts;
        for (int i = 0; i < all(); i++) {
            first.pc[i] = puts_(i) ? LOCK : takes(i) ? TRY : SHUT;
            first.left[i] = (uint8_t)(puts_(i) ? c->messages : c->quota);
        }
        explore(&first, 24, c->flaw == SOUND);
        printf("%s\nstates=%lu ends=%lu\n", violation ? violation : "holds", states, ends);
        return (violation != NULL) != (c->flaw != SOUND);
    }
    return argc > 1 && !strcmp(argv[1], "list") ? 0 : 2;
}
