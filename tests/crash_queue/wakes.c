/* wakes.c - the ring and its wake-ups as a small machine: every interleaving, with kills at every step.
 *
 *   wakes CASE          explore it: exit status 0 if it holds, or if it is a planted flaw and was found
 *   wakes list [long]   the cases; with `long`, those that take minutes and gigabytes
 *
 * The steps are those of nshm__queue_put_inline, nshm__queue_take_some, nshm__queue_lock, nshm__queue_unlock(_slowly), nshm__queue_sleep and
 * nshm__queue_wait, each load, compare-and-swap and system call one, and what the kernel promises of futexes and of a dead thread's pending
 * word.  Nobody looks by himself: what only a nap would end is "stuck".
 *
 * What is known to be left to a nap is told apart (`excused`): somebody was killed who had slept or armed the word in that call, and
 *   1  something else was pending: a woken consumer that is about to take its own end's lock, and has not yet given it up
 *   2  a slower one, not yet asleep, compares with the word as the killed one had armed it
 * It is no proof about the code in C.  Who changes the protocol there changes it here.
 */
#include <stdint.h>

enum { PUT, GET, MOST = 5 };
typedef struct {
    uint8_t owner[2], sleepers[2], stale[2];         /* the words of the ends */
    uint8_t head, tail, header[4], value[4];         /* the ring: the two cursors, and the slots */
    uint8_t queue_length[2], queue[2][MOST];         /* the kernel's: who sleeps on which word, in order */
    uint8_t pc[MOST], pending[MOST], slow[MOST], moved[MOST], at[MOST], left[MOST], armed[MOST], woke[MOST], result[MOST], life[MOST], leaving[MOST];
    uint8_t last[MOST], done[MOST], quota[MOST];     /* of each producer: the last that was taken, and that was put for sure */
    uint8_t kills, timeouts, excused;
} state;
#include "explore.h"

enum { LIVES, DYING, OUT_OF_QUEUE, DEAD, DONE };
enum {
    TRY, LOCK_PENDING, LOCK, ROOM, WRITE, WRITE_MORE, PUBLISH, MOVE, UNLOCK, WAKE, ASK_LOCK, ASK, ASK_UNLOCK, ASK_WAKE, UNPENDING, RESULT,
    SLEEP_PENDING, ARM, LOOK, WAIT, ASLEEP, AGAIN_PENDING, PASS, PASS_WAKE, RETURN, READ, READ_MORE, CONSUME, EARLY_PUBLISH, EARLY_MOVE
};
static const char *const names[] = {
    "try", "lock: pending", "lock", "room", "write", "write more", "publish", "move", "unlock", "wake", "ask: lock", "ask", "ask: unlock",
    "ask: wake", "not pending", "result", "sleep: pending", "arm", "look", "wait", "asleep", "pending again", "pass on", "pass on: wake", "return",
    "read", "read more", "consume", "publish (early)", "move (early)",
};
enum flaw {
    SOUND, HEADER_FIRST, CURSOR_FIRST, FORGETS_SLEEPERS, NOTHING_PASSED, SLEEPS_NOT_PENDING, NO_CATCHING_UP, FORGETS_UNLOCKED, WORD_NOT_CHANGED,
    LOOKS_FIRST, NOT_PENDING_WHILE_WAKING, HEAD_FIRST, DEATH_LOOKS_ARMED, PASSED_WITHOUT_STALE
};
typedef struct {
    const char *name;
    int is_long, producers, consumers, messages, batch, capacity, kills, timeouts, quota;
    enum flaw flaw;
} example;
static const example *c; /* the one that is explored */

static int all(void) { return c->producers + c->consumers; }
static int puts_(int i) { return i < c->producers; }
static int own(int i) { return puts_(i) ? PUT : GET; }
static int other(int i) { return puts_(i) ? GET : PUT; }
static int published(const state *s, int position) { return s->header[position % c->capacity] == (uint8_t)(position + 1); }
static int nothing(const state *s, int i) { return puts_(i) ? s->head - s->tail >= c->capacity : !published(s, s->tail); }
static uint8_t word(const state *s, int w) { return (uint8_t)(s->owner[w] << 2 | s->sleepers[w] << 1 | s->stale[w]); }
static int fresh(void) { return c->flaw == DEATH_LOOKS_ARMED; } /* the value of `stale` that a sleeper sets */

/* ------------------------------------------------------------------------------------------------ the kernel */
static int wake(state *s, int w, int n) {
    int woken = 0;
    for (; woken < n && s->queue_length[w]; woken++) {
        int i = s->queue[w][0];
        memmove(s->queue[w], s->queue[w] + 1, --s->queue_length[w]);
        s->queue[w][s->queue_length[w]] = 0;
        if (s->life[i] != LIVES) continue; /* spent on one who dies */
        s->pc[i] = TRY;
        s->slow[i] = 1;
    }
    return woken;
}
static void unqueue(state *s, int i) {
    for (int w = 0; w < 2; w++)
        for (int k = 0; k < s->queue_length[w]; k++)
            if (s->queue[w][k] == i) {
                memmove(s->queue[w] + k, s->queue[w] + k + 1, (size_t)(s->queue_length[w] - k - 1));
                s->queue[w][--s->queue_length[w]] = 0;
                break;
            }
}
static void give_up_pending(state *s, int i) {
    int w = s->pending[i] - 1;
    if (w < 0) return;
    if (!s->owner[w]) wake(s, w, 1);
    else if (s->owner[w] == i + 1) {
        s->owner[w] = 0;
        s->stale[w] = 1;
        if (s->sleepers[w]) wake(s, w, 1);
    }
}

/* ------------------------------------------------------------------------------------------------ one step of one process */
static int step_of_lock(state *s, int i) {
    int m = own(i);
    switch (s->pc[i]) {
    case TRY: /* a consumer looks before it locks */
        s->result[i] = !puts_(i) && nothing(s, i);
        s->pc[i] = s->result[i] ? RESULT : LOCK_PENDING;
        return 1;
    case LOCK_PENDING:
        s->pending[i] = (uint8_t)(m + 1);
        s->pc[i] = LOCK;
        return 1;
    case LOCK:
        if (s->owner[m]) return 0;
        s->owner[m] = (uint8_t)(i + 1);
        s->moved[i] = s->result[i] = 0;
        s->pc[i] = puts_(i) ? ROOM : READ;
        return 1;
    case UNLOCK:
        s->owner[m] = 0;
        if (c->flaw == NOT_PENDING_WHILE_WAKING) s->pending[i] = 0;
        s->pc[i] = s->sleepers[m] ? WAKE : UNPENDING;
        if (!s->sleepers[m]) s->stale[m] = 0;
        else if (c->flaw == FORGETS_SLEEPERS) s->sleepers[m] = s->stale[m] = 0;
        else if (c->flaw != WORD_NOT_CHANGED) s->stale[m] = !fresh();
        return 1;
    case WAKE:
        s->pc[i] = wake(s, m, s->moved[i] ? s->moved[i] : 1) || c->flaw == FORGETS_SLEEPERS ? UNPENDING : ASK_LOCK;
        s->moved[i] = 0;
        return 1;
    case ASK_LOCK:
        s->pc[i] = UNPENDING;
        if (s->owner[m] || !s->sleepers[m] || s->stale[m] == fresh()) return 1;
        if (c->flaw == FORGETS_UNLOCKED) s->sleepers[m] = s->stale[m] = 0;
        else {
            s->owner[m] = (uint8_t)(i + 1);
            s->pc[i] = ASK;
        }
        return 1;
    case ASK:
        s->woke[i] = (uint8_t)wake(s, m, 1);
        s->pc[i] = ASK_UNLOCK;
        return 1;
    case ASK_UNLOCK:
        s->owner[m] = 0;
        if (!s->woke[i] && s->stale[m] != fresh()) {
            s->sleepers[m] = s->stale[m] = 0;
            s->pc[i] = UNPENDING;
        } else {
            s->stale[m] = !fresh();
            s->pc[i] = ASK_WAKE;
        }
        s->woke[i] = 0;
        return 1;
    case ASK_WAKE:
        wake(s, m, 1);
        s->pc[i] = UNPENDING;
        return 1;
    case UNPENDING:
        s->pending[i] = s->moved[i] = 0;
        s->pc[i] = RESULT;
        return 1;
    default: return -1;
    }
}
static int step_of_put(state *s, int i) {
    uint8_t *slot = &s->header[s->at[i] % c->capacity], *value = &s->value[s->at[i] % c->capacity];
    int early = c->flaw == HEADER_FIRST || c->flaw == HEAD_FIRST;
    switch (s->pc[i]) {
    case ROOM:
        if (c->flaw != NO_CATCHING_UP)
            while (published(s, s->head)) s->head++;
        if (s->head - s->tail >= c->capacity) {
            s->result[i] = !s->moved[i];
            s->pc[i] = UNLOCK;
            return 1;
        }
        s->at[i] = s->head;
        s->pc[i] = c->flaw == HEADER_FIRST ? EARLY_PUBLISH : c->flaw == HEAD_FIRST ? EARLY_MOVE : WRITE;
        return 1;
    case EARLY_PUBLISH:
        *slot = (uint8_t)(s->at[i] + 1);
        s->pc[i] = WRITE;
        return 1;
    case EARLY_MOVE:
        s->head = (uint8_t)(s->at[i] + 1);
        s->pc[i] = WRITE;
        return 1;
    case WRITE:
        if (!early && c->flaw == SOUND && s->at[i] - s->tail >= c->capacity) violation = "writes where a message may be";
        *value = 255;
        s->pc[i] = WRITE_MORE;
        return 1;
    case WRITE_MORE:
        *value = (uint8_t)(i * 16 + c->messages - s->left[i] + 1);
        s->pc[i] = PUBLISH;
        return 1;
    case PUBLISH:
        if (c->flaw == SOUND && (s->at[i] - s->tail >= c->capacity || s->at[i] < s->tail)) violation = "publishes where a message may be";
        *slot = (uint8_t)(s->at[i] + 1);
        s->pc[i] = MOVE;
        return 1;
    case MOVE:
        s->head = (uint8_t)(s->at[i] + 1);
        s->at[i] = 0;
        s->moved[i]++;
        s->left[i]--;
        s->pc[i] = s->moved[i] < c->batch && s->left[i] ? ROOM : UNLOCK;
        return 1;
    default: return -1;
    }
}
static int step_of_take(state *s, int i) {
    int from = s->armed[i] >> 4, number = s->armed[i] & 15; /* `armed` holds the value meanwhile */
    switch (s->pc[i]) {
    case READ:
        s->at[i] = s->tail;
        if (!published(s, s->tail)) {
            s->result[i] = 1;
            s->pc[i] = UNLOCK;
            return 1;
        }
        if (c->flaw == CURSOR_FIRST) s->tail = (uint8_t)(s->at[i] + 1);
        s->armed[i] = s->value[s->at[i] % c->capacity];
        s->pc[i] = READ_MORE;
        return 1;
    case READ_MORE:
        if (s->armed[i] == 255 || s->value[s->at[i] % c->capacity] != s->armed[i]) violation = "torn";
        s->pc[i] = CONSUME;
        return 1;
    case CONSUME:
        s->tail = (uint8_t)(s->at[i] + 1);
        if (number <= s->last[from]) violation = "doubled or reordered";
        else if (number != s->last[from] + 1) violation = "lost";
        s->last[from] = (uint8_t)number;
        s->moved[i] = 1;
        s->at[i] = s->armed[i] = 0;
        s->pc[i] = UNLOCK;
        return 1;
    default: return -1;
    }
}
static int step_of_wait(state *s, int i) {
    int o = other(i);
    switch (s->pc[i]) {
    case RESULT:
        if (s->result[i]) {
            s->result[i] = 0;
            s->pc[i] = c->flaw == LOOKS_FIRST ? LOOK : SLEEP_PENDING;
            return 1;
        }
        if (puts_(i)) s->done[i] = (uint8_t)(c->messages - s->left[i]);
        s->pc[i] = s->slow[i] ? AGAIN_PENDING : RETURN;
        return 1;
    case SLEEP_PENDING:
        if (c->flaw != SLEEPS_NOT_PENDING) s->pending[i] = (uint8_t)(o + 1);
        s->pc[i] = ARM;
        return 1;
    case ARM:
        s->sleepers[o] = 1;
        s->stale[o] = (uint8_t)fresh();
        s->armed[i] = word(s, o);
        s->slow[i] = 1;
        s->pc[i] = c->flaw == LOOKS_FIRST ? WAIT : LOOK;
        return 1;
    case LOOK: s->pc[i] = !nothing(s, i) ? TRY : c->flaw == LOOKS_FIRST ? SLEEP_PENDING : WAIT; return 1;
    case WAIT:
        s->pc[i] = TRY;
        if (word(s, o) == s->armed[i]) {
            s->queue[o][s->queue_length[o]++] = (uint8_t)i;
            s->pc[i] = ASLEEP;
        }
        s->armed[i] = 0;
        return 1;
    case AGAIN_PENDING:
        s->pending[i] = (uint8_t)(o + 1);
        s->pc[i] = PASS;
        return 1;
    case PASS:
        s->pc[i] = RETURN;
        if (c->flaw == NOTHING_PASSED || nothing(s, i)) return 1;
        if (c->flaw == PASSED_WITHOUT_STALE) wake(s, o, 1);
        else if (s->sleepers[o]) {
            s->stale[o] = 1;
            s->pc[i] = PASS_WAKE;
        }
        return 1;
    case PASS_WAKE:
        wake(s, o, 1);
        s->pc[i] = RETURN;
        return 1;
    case RETURN:
        s->pending[i] = s->slow[i] = s->at[i] = s->armed[i] = s->moved[i] = s->result[i] = 0;
        if (puts_(i) ? !s->left[i] : (s->quota[i] && !--s->quota[i])) s->life[i] = DONE;
        if (s->leaving[i] == 1) { /* its time was up */
            s->leaving[i] = 2;
            s->life[i] = DONE;
        }
        s->pc[i] = TRY;
        return 1;
    default: return 0; /* asleep */
    }
}
static int step(state *s, int i) { /* 0: it cannot move */
    int r = step_of_lock(s, i);
    if (r < 0) r = puts_(i) ? step_of_put(s, i) : step_of_take(s, i);
    return r < 0 ? step_of_wait(s, i) : r;
}

/* Steps that nobody else can see or influence, and before or after which a kill is the same: taken at once, alone.  Writing an unpublished
 * slot and reading a published one count as such: that they never meet is checked at each write instead. */
static int nobody_sees(const state *s, int i) {
    int p = s->pc[i];
    if (s->life[i] != LIVES) return 0;
    if (p == RESULT || (p == TRY && puts_(i))) return 1;
    if (c->flaw == SOUND && (p == WRITE || p == WRITE_MORE || p == READ_MORE || (p == READ && published(s, s->tail)))) return 1;
    return s->kills >= c->kills && (p == LOCK_PENDING || p == UNPENDING || p == SLEEP_PENDING || p == AGAIN_PENDING || p == RETURN);
}
static void name_step(way *w, const char *what, int i, const char *where) { snprintf(w->step, sizeof w->step, "%s %c%d %s", what, puts_(i) ? 'P' : 'C', i, where); }
static int kill_it(const state *s, int i, way *w) {
    int p = s->pc[i], arming = p == ARM || p == LOOK || p == WAIT;
    if (s->kills >= c->kills) return 0;
    w->s = *s;
    w->s.life[i] = DYING;
    w->s.kills++;
    if (s->slow[i] && p != ASLEEP) w->s.excused |= arming || s->pending[i] == other(i) + 1 ? 2 : 1;
    name_step(w, "KILL", i, names[p]);
    return 1;
}
static int time_out(const state *s, int i, way *w) { /* it leaves for good, and passes on */
    if (s->pc[i] != ASLEEP || s->timeouts >= c->timeouts || puts_(i)) return 0;
    w->s = *s;
    w->s.timeouts++;
    unqueue(&w->s, i);
    w->s.pc[i] = PASS;
    w->s.leaving[i] = 1;
    name_step(w, "time-out", i, "");
    return 1;
}
static int die_on(const state *s, int i, way *w) {
    w->s = *s;
    name_step(w, "kernel buries", i, s->life[i] == DYING ? "(queue)" : "(pending)");
    if (s->life[i] == DYING) {
        unqueue(&w->s, i); /* until here a wake-up may have been spent on it */
        w->s.life[i] = OUT_OF_QUEUE;
        return 1;
    }
    give_up_pending(&w->s, i);
    w->s.life[i] = DEAD;
    w->s.pc[i] = TRY;
    w->s.pending[i] = w->s.slow[i] = w->s.moved[i] = w->s.at[i] = w->s.armed[i] = w->s.woke[i] = w->s.result[i] = 0;
    return 1;
}
static int successors(const state *s, way *out) {
    int n = 0;
    for (int i = 0; i < all(); i++)
        if (nobody_sees(s, i)) {
            out[0].s = *s;
            step(&out[0].s, i);
            name_step(&out[0], "", i, names[s->pc[i]]);
            return 1;
        }
    for (int i = 0; i < all(); i++) {
        if (s->life[i] == DYING || s->life[i] == OUT_OF_QUEUE) n += die_on(s, i, &out[n]);
        if (s->life[i] != LIVES) continue;
        out[n].s = *s;
        if (step(&out[n].s, i)) {
            name_step(&out[n++], "", i, names[s->pc[i]]);
            if (violation) {
                out[0] = out[n - 1];
                return 1;
            }
        }
        n += kill_it(s, i, &out[n]);
        n += time_out(s, i, &out[n]);
    }
    return n;
}
static uint64_t excused[4];
static void at_rest(const state *s) { /* everybody sleeps, is done or dead, or waits for a lock that nobody gives up */
    int consumers = 0, producers = 0, there = 0, waiting[MOST] = {0};
    const char *wrong = NULL;
    for (int i = 0; i < all(); i++) {
        if (s->life[i] != LIVES) continue;
        if (s->pc[i] != ASLEEP) wrong = "a lock is never given up";
        if (puts_(i)) producers++;
        else consumers++;
    }
    for (int k = s->tail; published(s, k) && there < c->capacity; k++, there++) waiting[s->value[k % c->capacity] >> 4]++;
    if (!wrong && there && consumers) wrong = "stuck: messages, and consumers sleep";
    if (!wrong && producers && there < c->capacity) wrong = "stuck: room, and producers sleep";
    if (wrong && s->excused && strncmp(wrong, "stuck", 5) == 0) {
        excused[s->excused]++;
        wrong = NULL;
    }
    for (int p = 0; p < c->producers; p++)
        if (s->last[p] + waiting[p] < s->done[p]) wrong = "lost what was put";
    violation = wrong;
}
static void show(const state *s) {
    for (int w = 0; w < 2; w++) fprintf(stderr, "   %s: owner %d sleepers %d stale %d asleep %d\n", w ? "get" : "put", s->owner[w], s->sleepers[w], s->stale[w], s->queue_length[w]);
    for (int i = 0; i < all(); i++) fprintf(stderr, "   %c%d life %d at %s pending %d left %d\n", puts_(i) ? 'P' : 'C', i, s->life[i], names[s->pc[i]], s->pending[i], s->left[i]);
    fprintf(stderr, "   head %d tail %d\n", s->head, s->tail);
}

/* producers, consumers, messages of each, at once, capacity, kills, time-outs, messages after which a consumer leaves (0: never) */
static const example examples[] = {
    {"one_to_one", 0, 1, 1, 2, 1, 1, 1, 0, 0, SOUND},
    {"one_to_two", 0, 1, 2, 2, 1, 2, 0, 1, 0, SOUND},
    {"one_to_two_a_kill", 0, 1, 2, 2, 1, 2, 1, 0, 0, SOUND},
    {"one_to_two_two_kills", 0, 1, 2, 1, 1, 2, 2, 0, 0, SOUND},
    {"two_to_one_a_kill", 0, 2, 1, 1, 1, 1, 1, 0, 0, SOUND},
    {"batches_to_two_a_kill", 0, 1, 2, 2, 2, 2, 1, 0, 0, SOUND},
    {"batches_to_three", 0, 1, 3, 2, 2, 2, 0, 0, 0, SOUND},
    {"batches_consumers_leave_after_one", 0, 1, 2, 2, 2, 2, 0, 0, 1, SOUND},
    {"consumers_leave_after_two", 0, 1, 2, 3, 1, 2, 0, 0, 2, SOUND},
    {"two_to_one", 1, 2, 1, 2, 1, 1, 0, 0, 0, SOUND},
    {"two_to_one_twice_a_kill", 1, 2, 1, 2, 1, 1, 1, 0, 0, SOUND},
    {"one_to_two_twice_two_kills", 1, 1, 2, 2, 1, 2, 2, 0, 0, SOUND},
    {"two_to_two_consumers_leave", 1, 2, 2, 2, 1, 2, 0, 0, 2, SOUND},
    {"flaw_header_before_the_message", 0, 1, 1, 1, 1, 2, 0, 0, 0, HEADER_FIRST},
    {"flaw_header_before_the_message_a_kill", 0, 1, 1, 1, 1, 2, 1, 0, 0, HEADER_FIRST},
    {"flaw_cursor_before_the_copy", 0, 2, 1, 2, 1, 1, 0, 0, 0, CURSOR_FIRST},
    {"flaw_no_catching_up_with_the_dead", 0, 2, 1, 1, 1, 2, 1, 0, 0, NO_CATCHING_UP},
    {"flaw_put_cursor_before_the_header", 0, 2, 1, 1, 1, 2, 1, 0, 0, HEAD_FIRST},
    {"flaw_the_unlock_that_wakes_forgets_sleepers", 0, 2, 2, 1, 1, 2, 1, 0, 0, FORGETS_SLEEPERS},
    {"flaw_wake_up_not_passed_on", 0, 1, 2, 2, 2, 2, 0, 0, 1, NOTHING_PASSED},
    {"flaw_passed_on_without_stale", 0, 1, 2, 2, 2, 2, 0, 0, 1, PASSED_WITHOUT_STALE},
    {"flaw_sleeps_with_nothing_pending", 0, 1, 2, 1, 1, 2, 1, 0, 0, SLEEPS_NOT_PENDING},
    {"flaw_sleepers_forgotten_without_the_lock", 0, 2, 2, 2, 1, 2, 0, 0, 2, FORGETS_UNLOCKED},
    {"flaw_an_unlock_does_not_change_the_word", 0, 1, 2, 2, 1, 2, 0, 0, 0, WORD_NOT_CHANGED},
    {"flaw_looks_before_it_arms", 0, 1, 1, 1, 1, 2, 0, 0, 0, LOOKS_FIRST},
    {"flaw_nothing_pending_while_it_wakes", 0, 1, 1, 1, 1, 2, 1, 0, 0, NOT_PENDING_WHILE_WAKING},
    {"flaw_a_death_looks_like_an_armed_word", 0, 1, 1, 2, 1, 1, 1, 0, 0, DEATH_LOOKS_ARMED},
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
        first.left[i] = (uint8_t)(puts_(i) ? c->messages : 0);
        first.quota[i] = (uint8_t)(puts_(i) ? 0 : c->quota);
    }
    explore(&first, c->is_long ? 29 : 24, c->flaw == SOUND);
    printf("%s\nstates=%lu ends=%lu own_lock_pending=%lu after_arming=%lu both=%lu\n", violation ? violation : "holds", states, ends, excused[1], excused[2], excused[3]);
    return (violation != NULL) != (c->flaw != SOUND);
}
