/* frames.c - who may write over which frame, as a small machine: writers, readers that look afterwards, readers that pin; with kills at every step.
 *
 *   frames CASE          explore it: exit status 0 if it holds, or if it is a planted flaw and was found
 *   frames list [long]   the cases; with `long`, those that take minutes and gigabytes
 *
 * The steps are those of topic_frames.h, topic_ring.h, topic_sweep.h and topic_join.h; the locks are taken and given up in one step each.  Values
 * lie in frames, or, with `inlined`, all in the ring.  A killed process's locks are given up by the kernel, and later, in another step, its proof of life goes.
 * Others are born in the places of the dead, when a sweep has freed those.
 */
#include <stdint.h>

enum { PROCESSES = 4, FRAMES = 8, RING = 4, VALUES = 12 };
typedef struct {
    uint8_t lock, table, latest, number[RING], frame[RING], inlined[RING]; /* the last three: what the ring tells */
    uint8_t state[FRAMES], content[FRAMES], pins[FRAMES];   /* state: 0, 2 * number, or 1 + 2 * process */
    uint8_t place[PROCESSES];                               /* of the table: free, taken, or a dead process's */
    uint8_t life[PROCESSES], pc[PROCESSES], left[PROCESSES], births[PROCESSES]; /* left: values to publish or to read */
    uint8_t k[PROCESSES], f[PROCESSES], l[PROCESSES], n[PROCESSES], was[PROCESSES], swept[PROCESSES], seen[PROCESSES], a[PROCESSES], b[PROCESSES];
    uint8_t value[VALUES]; /* what was published as that number: no process sees it */
    uint8_t kills;
} state;
#include "../crash_queue/explore.h"

enum { FREE, TAKEN, DEAD_MANS };
enum { LIVES, DYING, UNLOCKED, GONE, DONE };
enum {
    LOAN, HINT, LOOK, CLAIM, PINNED, RESTORE, SWEEP_TABLE, SWEEP_FRAMES, SWEEP_PLACES, SWEEP_UNNAMED, JOIN, WRITE, WRITE_MORE, LOCK, OPEN, PUT, NAME, CLOSE,
    STATE, LATEST, UNLOCK, READ_LATEST, READ_RING, READ_AGAIN, READ_STATE, PIN, PIN_CHECK, PIN_OFF, READ, READ_MORE, VALID, UNPIN
};
static const char *const names[] = {
    "loan", "hint", "look", "claim", "pinned?", "restore", "sweep: table", "sweep: frames", "sweep: places", "sweep: unnamed", "join", "write", "write more",
    "lock", "open", "put", "name", "close", "state", "latest", "unlock", "read latest", "read ring", "read again", "read state", "pin", "pin check",
    "pin off", "read", "read more", "valid?", "unpin",
};
enum flaw {
    SOUND, PINS_SEEN_BEFORE_THE_CLAIM_ONLY, NO_CLAIM, WRITTEN_BEFORE_THE_CLAIM, LATEST_FIRST, NOT_RESTORED, NOT_VALIDATED, PIN_UNCHECKED,
    PINS_OF_THE_DEAD_STAY, UNNAMED_STAY, UNNAMED_OF_THE_HISTORY_STAY, RING_AS_LARGE_AS_THE_HISTORY, PLACES_BEFORE_PINS, NUMBER_NOT_CLEARED
};
typedef struct {
    const char *name;
    int is_long;
    const char *who; /* W, R, P */
    int values, history, reads, kills, births, fewer, inlined; /* fewer: frames than there are to be */
    enum flaw flaw;
} example;
static const example *c;
static int frames, ring;

static int all(void) { return (int)strlen(c->who); }
static int writes(int i) { return c->who[i] == 'W'; }
static void again(state *s, int i) {
    s->pc[i] = READ_LATEST;
    s->f[i] = s->n[i] = s->a[i] = s->b[i] = 0;
}
static void begin(state *s, int i) {
    s->life[i] = LIVES;
    s->place[i] = TAKEN;
    s->left[i] = (uint8_t)(writes(i) ? c->values : c->reads);
    s->pc[i] = !writes(i) ? READ_LATEST : c->inlined ? LOCK : LOAN;
}
/* The frame that is looked at in the k-th place: first the one that has left the history, if there is one. */
static int candidate(const state *s, int i) { return s->k[i] ? s->k[i] - 1 : s->f[i]; }

static int loan_step(state *s, int i) {
    int f = candidate(s, i), more = 0;
    switch (s->pc[i]) {
    case LOAN:
        s->l[i] = s->latest;
        s->pc[i] = HINT;
        return 1;
    case HINT:
        s->k[i] = s->l[i] <= c->history;
        s->f[i] = s->k[i] ? 0 : s->frame[(s->l[i] - c->history) % ring];
        s->pc[i] = LOOK;
        return 1;
    case LOOK:
        if (s->k[i] > frames) {
            if (s->swept[i]) violation = "a writer finds no frame";
            s->pc[i] = SWEEP_TABLE;
            s->k[i] = s->f[i] = s->l[i] = s->was[i] = 0;
            return 1;
        }
        s->was[i] = s->state[f];
        if ((s->was[i] & 1) || (s->was[i] && (s->was[i] >> 1) + c->history > s->l[i]) || s->pins[f]) s->k[i]++;
        else s->pc[i] = c->flaw == NO_CLAIM || c->flaw == WRITTEN_BEFORE_THE_CLAIM ? WRITE : CLAIM;
        return 1;
    case CLAIM:
        if (s->state[f] == s->was[i]) {
            s->state[f] = (uint8_t)(1 + 2 * i);
            s->pc[i] = c->flaw == PINS_SEEN_BEFORE_THE_CLAIM_ONLY ? WRITE : c->flaw == WRITTEN_BEFORE_THE_CLAIM ? LOCK : PINNED;
        } else {
            s->k[i]++;
            s->pc[i] = LOOK;
        }
        return 1;
    case PINNED:
        s->pc[i] = s->pins[f] ? RESTORE : WRITE;
        return 1;
    case RESTORE:
        if (c->flaw != NOT_RESTORED) s->state[f] = s->was[i];
        s->k[i]++;
        s->pc[i] = LOOK;
        return 1;
    case WRITE:
        s->content[f] = 255;
        s->pc[i] = WRITE_MORE;
        return 1;
    case WRITE_MORE:
        s->content[f] = (uint8_t)(i * 32 + s->births[i] * 8 + s->left[i]);
        s->pc[i] = c->flaw == WRITTEN_BEFORE_THE_CLAIM ? CLAIM : LOCK;
        return 1;
    /* a sweep; what its parts are needed for is in topic_sweep.h */
    case SWEEP_TABLE:
        if (s->table) return 0;
        s->table = (uint8_t)(i + 1);
        s->swept[i] = 1;
        for (int j = 0; j < all(); j++) { /* who is dead was asked before; who is just dying will be found by another sweep */
            if (s->life[j] == DYING || s->life[j] == UNLOCKED) s->swept[i] = 0;
            if (s->place[j] == DEAD_MANS) s->seen[i] |= (uint8_t)(1 << j);
        }
        s->pc[i] = c->flaw == PLACES_BEFORE_PINS ? SWEEP_PLACES : SWEEP_FRAMES;
        return 1;
    case SWEEP_FRAMES:
        for (int k = 0; k < frames; k++) {
            if ((s->state[k] & 1) && (s->seen[i] >> (s->state[k] >> 1) & 1)) s->state[k] = 0;
            if (c->flaw != PINS_OF_THE_DEAD_STAY) s->pins[k] &= (uint8_t)~s->seen[i];
        }
        more = c->flaw != PLACES_BEFORE_PINS;
        if (!more) s->table = s->seen[i] = 0;
        s->pc[i] = more ? SWEEP_PLACES : SWEEP_UNNAMED;
        return 1;
    case SWEEP_PLACES:
        for (int j = 0; j < all(); j++)
            if (s->seen[i] >> j & 1) s->place[j] = FREE;
        more = c->flaw == PLACES_BEFORE_PINS;
        if (!more) s->table = s->seen[i] = 0;
        s->pc[i] = more ? SWEEP_FRAMES : SWEEP_UNNAMED;
        return 1;
    case SWEEP_UNNAMED:
        if (s->lock) return 0;
        for (int k = 0; k < frames; k++) {
            int number = s->state[k] >> 1, named = number <= s->latest && s->frame[number % ring] == k;
            if (!s->state[k] || (s->state[k] & 1) || number + c->history <= s->latest || named) continue;
            if (c->flaw == UNNAMED_STAY || (c->flaw == UNNAMED_OF_THE_HISTORY_STAY && number <= s->latest)) continue;
            s->state[k] = 0;
        }
        s->pc[i] = s->place[i] == TAKEN ? LOAN : JOIN;
        return 1;
    default: /* JOIN */
        if (s->table) return 0;
        if (s->place[i] == FREE) begin(s, i);
        else s->pc[i] = SWEEP_TABLE; /* the place that we want is a dead process's still */
        return 1;
    }
}
static int publish_step(state *s, int i) {
    int f = candidate(s, i), at = s->n[i] % ring;
    switch (s->pc[i]) {
    case LOCK:
        if (s->lock) return 0;
        s->lock = (uint8_t)(i + 1);
        s->n[i] = (uint8_t)(s->latest + 1);
        s->pc[i] = OPEN;
        return 1;
    case OPEN:
        if (c->flaw != NUMBER_NOT_CLEARED) s->number[at] = 0;
        s->pc[i] = c->inlined ? PUT : NAME;
        return 1;
    case PUT:
        s->inlined[at] = 255;
        s->pc[i] = NAME;
        return 1;
    case NAME:
        if (c->inlined) s->inlined[at] = (uint8_t)(i * 32 + s->births[i] * 8 + s->left[i]);
        else s->frame[at] = (uint8_t)f;
        s->pc[i] = CLOSE;
        return 1;
    case CLOSE:
        s->number[at] = s->n[i];
        s->pc[i] = c->flaw == LATEST_FIRST || c->inlined ? LATEST : STATE;
        return 1;
    case STATE:
        s->state[f] = (uint8_t)(2 * s->n[i]);
        s->pc[i] = c->flaw == LATEST_FIRST ? UNLOCK : LATEST;
        return 1;
    case LATEST:
        s->latest = s->n[i];
        s->value[s->n[i]] = c->inlined ? s->inlined[at] : s->content[f];
        s->pc[i] = c->flaw == LATEST_FIRST ? STATE : UNLOCK;
        return 1;
    default:
        s->lock = s->k[i] = s->f[i] = s->l[i] = s->n[i] = s->was[i] = s->swept[i] = 0;
        if (--s->left[i]) s->pc[i] = c->inlined ? LOCK : LOAN;
        else s->life[i] = DONE; /* it keeps its place */
        return 1;
    }
}
static int finish(state *s, int i) {
    if (s->b[i] == 255) s->b[i] = 0; /* to be the same state as others */
    s->l[i] = s->n[i];
    if (--s->left[i]) again(s, i);
    else {
        again(s, i);
        s->life[i] = DONE;
    }
    return 1;
}
static int read_step(state *s, int i) {
    int at = s->n[i] % ring, pins = c->who[i] == 'P', f = s->f[i];
    switch (s->pc[i]) {
    case READ_LATEST:
        if (s->latest == s->l[i]) return 0;
        s->n[i] = s->latest;
        s->pc[i] = READ_RING;
        return 1;
    case READ_RING:
        if (s->number[at] != s->n[i]) return again(s, i), 1;
        s->f[i] = s->frame[at];
        s->pc[i] = c->inlined ? READ : READ_AGAIN;
        return 1;
    case READ_AGAIN:
        if (s->number[at] != s->n[i]) return again(s, i), 1;
        s->pc[i] = c->flaw == PIN_UNCHECKED && pins ? PIN : READ_STATE;
        return 1;
    case READ_STATE:
        if (s->state[f] != 2 * s->n[i]) return again(s, i), 1;
        s->pc[i] = pins ? PIN : READ;
        return 1;
    case PIN:
        s->pins[f] |= (uint8_t)(1 << i);
        s->pc[i] = c->flaw == PIN_UNCHECKED ? READ : PIN_CHECK;
        return 1;
    case PIN_CHECK:
        s->pc[i] = s->state[f] == 2 * s->n[i] ? READ : PIN_OFF;
        return 1;
    case PIN_OFF:
        s->pins[f] &= (uint8_t)~(1 << i);
        return again(s, i), 1;
    case READ:
        s->a[i] = c->inlined ? s->inlined[at] : s->content[f];
        s->pc[i] = READ_MORE;
        return 1;
    case READ_MORE:
        s->b[i] = c->inlined ? s->inlined[at] : s->content[f];
        s->pc[i] = pins ? UNPIN : VALID;
        return 1;
    case VALID:
        if ((c->inlined ? s->number[at] != s->n[i] : s->state[f] != 2 * s->n[i]) && c->flaw != NOT_VALIDATED) return again(s, i), 1;
        if (s->a[i] != s->b[i] || s->a[i] != s->value[s->n[i]]) violation = "torn, and not noticed";
        return finish(s, i);
    default:
        if (s->a[i] != s->b[i] || s->a[i] != s->value[s->n[i]]) violation = "pinned, and written over";
        s->pins[f] &= (uint8_t)~(1 << i);
        return finish(s, i);
    }
}
static int step(state *s, int i) { return s->pc[i] >= READ_LATEST ? read_step(s, i) : s->pc[i] >= LOCK ? publish_step(s, i) : loan_step(s, i); }

/* ------------------------------------------------------------------------------------------------ all of them */
static void name_step(way *w, const char *what, int i, const char *where) { snprintf(w->step, sizeof w->step, "%s %c%d %s", what, c->who[i], i, where); }
static void die_on(state *s, int i) {
    if (s->life[i] == DYING) {
        if (s->lock == i + 1) s->lock = 0;
        if (s->table == i + 1) s->table = 0;
        s->life[i] = UNLOCKED;
        return;
    }
    if (s->place[i] == TAKEN) s->place[i] = DEAD_MANS;
    s->life[i] = GONE;
    s->pc[i] = s->k[i] = s->f[i] = s->l[i] = s->n[i] = s->was[i] = s->swept[i] = s->seen[i] = s->a[i] = s->b[i] = s->left[i] = 0;
}
static int successors(const state *s, way *out) {
    int n = 0;
    for (int i = 0; i < all(); i++) {
        out[n].s = *s;
        if (s->life[i] == DYING || s->life[i] == UNLOCKED) {
            die_on(&out[n].s, i);
            name_step(&out[n++], "kernel buries", i, s->life[i] == DYING ? "(locks)" : "(proof of life)");
        } else if (s->life[i] == GONE && s->births[i] < c->births) {
            out[n].s.births[i]++;
            out[n].s.life[i] = LIVES;
            out[n].s.pc[i] = JOIN;
            name_step(&out[n++], "born", i, "");
        }
        if (s->life[i] != LIVES) continue;
        out[n].s = *s;
        if (step(&out[n].s, i)) {
            name_step(&out[n++], "", i, names[s->pc[i]]);
            if (violation) {
                out[0] = out[n - 1];
                return 1;
            }
        }
        if (s->kills >= c->kills) continue;
        out[n].s = *s;
        out[n].s.life[i] = DYING;
        out[n].s.kills++;
        name_step(&out[n++], "KILL", i, names[s->pc[i]]);
    }
    return n;
}
static void at_rest(const state *s) {
    for (int i = 0; i < all(); i++) {
        if (s->life[i] != LIVES) continue;
        if (writes(i)) violation = "a writer is blocked";
        else if (s->latest != s->l[i]) violation = "a reader is blocked";
    }
    for (int n = s->latest; n > 0 && n + c->history > s->latest; n--) { /* whoever died, the history can be read */
        int at = n % ring, f = s->frame[at];
        if (c->inlined ? s->number[at] != n || s->inlined[at] != s->value[n] : s->number[at] != n || s->state[f] != 2 * n || s->content[f] != s->value[n]) violation = "the history is not whole";
    }
}
static void show(const state *s) {
    fprintf(stderr, "   latest %d locks %d %d", s->latest, s->lock, s->table);
    for (int f = 0; f < frames; f++) fprintf(stderr, " frame%d: state %d content %d pins %d", f, s->state[f], s->content[f], s->pins[f]);
    fprintf(stderr, "\n");
}

/* who, values of each writer, history, reads of each reader, kills, births in each place, fewer frames, values lie in the ring */
static const example examples[] = {
    {"nobody_dies", 0, "WR", 3, 1, 2, 0, 0, 0, 0, SOUND},
    {"a_longer_history", 0, "WR", 4, 2, 2, 1, 0, 0, 0, SOUND},
    {"one_pins_one_dies", 0, "WP", 3, 1, 2, 1, 0, 0, 0, SOUND},
    {"one_reads_one_pins", 0, "WRP", 3, 1, 1, 0, 0, 0, 0, SOUND},
    {"two_writers_one_dies", 0, "WWR", 2, 1, 1, 1, 0, 0, 0, SOUND},
    {"two_writers_one_pins_one_dies", 0, "WWP", 2, 1, 1, 1, 0, 0, 0, SOUND},
    {"two_pin_one_dies", 0, "WPP", 3, 1, 1, 1, 0, 0, 0, SOUND},
    {"three_writers_two_die", 0, "WWW", 1, 1, 0, 2, 0, 0, 0, SOUND},
    {"one_dies_and_is_followed", 0, "WP", 3, 1, 1, 1, 1, 0, 0, SOUND},
    {"two_writers_die_and_are_followed", 0, "WW", 2, 2, 0, 2, 1, 0, 0, SOUND},
    {"two_writers_one_pins_two_die", 1, "WWP", 2, 1, 1, 2, 0, 0, 0, SOUND},
    {"three_writers_two_die_and_are_followed", 1, "WWW", 1, 1, 0, 2, 1, 0, 0, SOUND},
    {"in_the_ring_two_write_one_dies", 0, "WWR", 3, 1, 2, 1, 0, 0, 1, SOUND},
    {"in_the_ring_a_longer_history", 0, "WWR", 3, 3, 2, 1, 1, 0, 1, SOUND},
    {"flaw_pins_are_seen_before_the_claim_only", 0, "WP", 3, 1, 2, 0, 0, 0, 0, PINS_SEEN_BEFORE_THE_CLAIM_ONLY},
    {"flaw_a_frame_is_written_without_a_claim", 0, "WR", 3, 1, 2, 0, 0, 0, 0, NO_CLAIM},
    {"flaw_a_frame_is_written_before_the_claim", 0, "WR", 3, 1, 2, 0, 0, 0, 0, WRITTEN_BEFORE_THE_CLAIM},
    {"flaw_latest_before_the_frame", 0, "WR", 2, 1, 1, 1, 0, 0, 0, LATEST_FIRST},
    {"flaw_a_claim_is_not_undone", 0, "WP", 5, 1, 1, 0, 0, 1, 0, NOT_RESTORED},
    {"flaw_a_reader_does_not_look_again", 0, "WR", 3, 1, 2, 0, 0, 0, 0, NOT_VALIDATED},
    {"flaw_a_pin_is_not_checked", 0, "WP", 3, 1, 2, 0, 0, 0, 0, PIN_UNCHECKED},
    {"flaw_pins_of_the_dead_stay", 0, "WPP", 4, 1, 1, 2, 0, 2, 0, PINS_OF_THE_DEAD_STAY},
    {"flaw_frames_of_what_never_was_stay", 0, "WWW", 2, 1, 0, 2, 0, 2, 0, UNNAMED_STAY},
    {"flaw_frames_of_what_never_was_stay_in_the_history", 0, "WW", 3, 2, 0, 2, 2, 0, 0, UNNAMED_OF_THE_HISTORY_STAY},
    {"flaw_a_reader_of_the_ring_does_not_look_again", 0, "WR", 3, 1, 1, 0, 0, 0, 1, NOT_VALIDATED},
    {"flaw_the_ring_is_as_large_as_the_history", 0, "WR", 3, 1, 1, 1, 0, 0, 0, RING_AS_LARGE_AS_THE_HISTORY},
    {"flaw_places_are_free_before_their_pins_are_off", 0, "WP", 4, 1, 1, 2, 2, 1, 0, PLACES_BEFORE_PINS},
    {"flaw_a_number_stays_while_the_rest_changes", 0, "WR", 3, 1, 1, 0, 0, 0, 1, NUMBER_NOT_CLEARED},
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
    frames = c->history + 1 - c->fewer;
    for (int i = 0; i < all(); i++) {
        frames += c->who[i] != 'R';
        begin(&first, i);
    }
    for (ring = 2; ring <= c->history; ring *= 2) {}
    if (c->flaw == RING_AS_LARGE_AS_THE_HISTORY) ring = c->history;
    explore(&first, c->is_long ? 29 : 25, c->flaw == SOUND);
    printf("%s\nstates=%lu ends=%lu\n", violation ? violation : "holds", states, ends);
    return (violation != NULL) != (c->flaw != SOUND);
}
