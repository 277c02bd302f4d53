/* chunks.c - who owns which chunk, as a small machine: joining, loans, messages, sweeps, acknowledgement; with kills at every step.
 *
 *   chunks CASE          explore it: exit status 0 if it holds, or if it is a planted flaw and was found
 *   chunks list [long]   the cases; with `long`, those that take minutes and gigabytes
 *
 * The steps are those of queue_join.h, queue_chunks.h, queue_slots.h and queue_sweep.h; an end's lock is taken and given up in one step each
 * (wakes.c has the locks).  A killed process's locks are given up by the kernel, and later, in another step, its proof of life goes.
 * A consumer may also return a message instead of acknowledging it.
 */
#include <stdint.h>

enum { PUT, GET, PROCESSES = 4, CHUNKS = 3, ENTRIES = 3, SLOTS = 4, MESSAGES = 4 };
enum { UNWRITTEN = 255, FREE = 254, NOBODY_ENTRY = 3 };
typedef struct {
    uint8_t lock[2], head, tail, header[SLOTS], names[SLOTS];
    uint8_t owner[CHUNKS], content[CHUNKS]; /* owner: 0, or generation << 4 | entry << 2 | role */
    uint8_t word[ENTRIES], generation;      /* entries: generation, 0 free */
    uint8_t gone[8];                        /* by generation: the kernel has let its proof of life go */
    uint8_t pc[PROCESSES], life[PROCESSES], mine[PROCESSES], entry[PROCESSES], chunk[PROCESSES], left[PROCESSES], content_seen[PROCESSES],
        at[PROCESSES], position[PROCESSES], back[PROCESSES], dead[PROCESSES], ring[PROCESSES], snapshot[PROCESSES][ENTRIES], owner_seen[PROCESSES],
        adopted[PROCESSES];
    uint8_t last[PROCESSES], holder[PROCESSES][MESSAGES]; /* by producer and message: who has it, process + 1; ACKED */
    uint8_t kills, idle_sweeps, returns; /* the last two: how many are still allowed without need */
} state;
#include "explore.h"
enum { ACKED = 9, RETURNED = 8 };

enum { PRODUCER = 1, CONSUMER = 2 };
enum { LIVES, DYING, UNLOCKED, DEAD, DONE };
enum {
    JOIN_LOCK, JOIN_FIND, JOIN_PUBLISH, JOIN_UNLOCK, LOAN, WRITE, WRITE_MORE, SEND_LOCK, SEND_ROOM, SEND_NAME, PUBLISH, MOVE, SEND_UNLOCK,
    TAKE_LOCK, TAKE_LOOK, TAKE_OWN, TAKE_MOVE, TAKE_UNLOCK, READ, READ_MORE, RELEASE, SWEEP_DEAD, SWEEP_LOCK, SWEEP_RING, SWEEP_LOAD, SWEEP_TRADE,
    SWEEP_BURY, SWEEP_UNLOCK, END
};
static const char *const names[] = {
    "join: lock", "join: find", "join: publish", "join: unlock", "loan", "write", "write more", "send: lock", "send: room", "send: name", "publish",
    "move", "send: unlock", "take: lock", "take: look", "take: own", "take: move", "take: unlock", "read", "read more", "release", "sweep: dead",
    "sweep: lock", "sweep: ring", "sweep: load", "sweep: trade", "sweep: bury", "sweep: unlock", "end",
};
enum flaw { SOUND, DEAD_AFTER_RING, CURSOR_FIRST, NO_RING, NO_GENERATION, SENT_BEFORE_WRITTEN, OWNER_NOT_CHANGED, ADOPTS_FROM_RING, RETURNED_IS_FREE };
typedef struct {
    const char *name;
    int is_long;
    const char *who; /* P and C */
    int messages, chunks, entries, capacity, kills, acknowledges, returns;
    enum flaw flaw;
} example;
static const example *c;

static int all(void) { return (int)strlen(c->who); }
static int puts_(int i) { return c->who[i] == 'P'; }
static int published(const state *s, int position) { return s->header[position % c->capacity] == (uint8_t)(position + 1); }
static uint8_t owned(const state *s, int i, int role) { return (uint8_t)(s->mine[i] << 4 | s->entry[i] << 2 | role); }
static int free_chunk(const state *s) {
    for (int k = 0; k < c->chunks; k++)
        if (!s->owner[k]) return k;
    return -1;
}
/* Would a sweep change anything now?  1: entries; 2: a message of one that is not in the table. */
static int to_sweep(const state *s) {
    for (int e = 0; e < c->entries; e++)
        if (s->word[e] && s->gone[s->word[e]]) return 1;
    for (int k = 0; c->acknowledges && k < c->chunks; k++) {
        int entry = s->owner[k] >> 2 & 3;
        if ((s->owner[k] & 3) == CONSUMER && (entry >= c->entries || s->word[entry] != s->owner[k] >> 4)) return 2;
    }
    return 0;
}
static void begin_sweep(state *s, int i) {
    s->back[i] = s->pc[i];
    s->at[i] = 0;
    s->pc[i] = SWEEP_DEAD;
}
static void deliver(state *s, int i, int message, int again) {
    int from = message >> 2, number = message & 3;
    if (message >= FREE) {
        violation = "torn: taken, and not written";
        return;
    }
    if (!again && number <= s->last[from]) violation = "doubled or reordered";
    else if (!again && number != s->last[from] + 1) violation = "lost";
    if (!again) s->last[from] = (uint8_t)number;
    uint8_t holder = s->holder[from][number];
    if (holder == ACKED) violation = "delivered after it was acknowledged";
    else if (holder && holder != RETURNED && s->life[holder - 1] == LIVES) violation = "two consumers have it";
    s->holder[from][number] = (uint8_t)(i + 1);
}

/* ------------------------------------------------------------------------------------------------ one step of one process */
static int step_of_join(state *s, int i) {
    int e = 0;
    switch (s->pc[i]) {
    case JOIN_LOCK:
        if (s->lock[GET]) return 0;
        s->lock[GET] = (uint8_t)(i + 1);
        s->pc[i] = JOIN_FIND;
        return 1;
    case JOIN_FIND:
        while (e < c->entries && s->word[e]) e++;
        if (e == c->entries) { /* full: sweep, or wait */
            s->lock[GET] = 0;
            s->pc[i] = JOIN_LOCK;
            if (to_sweep(s) == 1) begin_sweep(s, i);
            return 1;
        }
        s->entry[i] = (uint8_t)e;
        s->mine[i] = ++s->generation;
        if (s->generation > 7) violation = "the model has no more generations";
        s->pc[i] = JOIN_PUBLISH;
        return 1;
    case JOIN_PUBLISH:
        s->word[s->entry[i]] = s->mine[i];
        s->pc[i] = JOIN_UNLOCK;
        return 1;
    case JOIN_UNLOCK:
        s->lock[GET] = 0;
        s->pc[i] = puts_(i) ? LOAN : TAKE_LOCK;
        return 1;
    default: return -1;
    }
}
static int step_of_send(state *s, int i) {
    int k = free_chunk(s), early = c->flaw == SENT_BEFORE_WRITTEN;
    switch (s->pc[i]) {
    case LOAN:
        if (k >= 0) {
            s->owner[k] = owned(s, i, PRODUCER);
            s->chunk[i] = (uint8_t)k;
            s->pc[i] = early ? SEND_LOCK : WRITE;
            return 1;
        }
        if (to_sweep(s) != 1 && !s->idle_sweeps) return 0;
        if (to_sweep(s) != 1) s->idle_sweeps--;
        begin_sweep(s, i);
        return 1;
    case WRITE:
        s->content[s->chunk[i]] = UNWRITTEN;
        s->pc[i] = WRITE_MORE;
        return 1;
    case WRITE_MORE:
        s->content[s->chunk[i]] = (uint8_t)(i << 2 | (c->messages - s->left[i] + 1));
        s->pc[i] = early ? END : SEND_LOCK;
        if (early) s->life[i] = DONE;
        return 1;
    case SEND_LOCK:
        if (s->lock[PUT] || s->head - s->tail >= c->capacity) return 0;
        s->lock[PUT] = (uint8_t)(i + 1);
        s->pc[i] = SEND_ROOM;
        return 1;
    case SEND_ROOM:
        while (published(s, s->head)) s->head++;
        s->position[i] = s->head;
        s->pc[i] = SEND_NAME;
        if (s->head - s->tail < c->capacity) return 1;
        s->lock[PUT] = s->position[i] = 0;
        s->pc[i] = SEND_LOCK;
        return 1;
    case SEND_NAME:
        s->names[s->position[i] % c->capacity] = s->chunk[i];
        s->pc[i] = PUBLISH;
        return 1;
    case PUBLISH:
        s->header[s->position[i] % c->capacity] = (uint8_t)(s->position[i] + 1);
        s->pc[i] = MOVE;
        return 1;
    case MOVE:
        s->head = (uint8_t)(s->position[i] + 1);
        s->position[i] = 0;
        s->pc[i] = SEND_UNLOCK;
        return 1;
    case SEND_UNLOCK:
        s->lock[PUT] = 0;
        if (early) {
            s->pc[i] = WRITE;
            return 1;
        }
        s->chunk[i] = 0;
        s->pc[i] = --s->left[i] ? LOAN : END;
        if (!s->left[i]) s->life[i] = DONE;
        return 1;
    default: return -1;
    }
}
static int step_of_take(state *s, int i) {
    uint8_t *chunk = &s->chunk[i];
    switch (s->pc[i]) {
    case TAKE_LOCK:
        if (c->acknowledges && to_sweep(s) && (!published(s, s->tail) || s->idle_sweeps)) { /* now and then also when there is something to take */
            s->idle_sweeps -= published(s, s->tail);
            begin_sweep(s, i);
            return 1;
        }
        if (!published(s, s->tail) || s->lock[GET]) return 0;
        s->lock[GET] = (uint8_t)(i + 1);
        s->pc[i] = TAKE_LOOK;
        return 1;
    case TAKE_LOOK:
        s->content_seen[i] = (uint8_t)published(s, s->tail);
        s->pc[i] = TAKE_UNLOCK;
        if (!published(s, s->tail)) return 1;
        *chunk = s->names[s->tail % c->capacity];
        if (!s->owner[*chunk]) violation = "a free chunk is in the ring";
        s->pc[i] = c->flaw == CURSOR_FIRST ? TAKE_MOVE : TAKE_OWN;
        return 1;
    case TAKE_OWN:
        if (c->flaw != OWNER_NOT_CHANGED) s->owner[*chunk] = owned(s, i, CONSUMER);
        s->pc[i] = c->flaw == CURSOR_FIRST ? TAKE_UNLOCK : TAKE_MOVE;
        return 1;
    case TAKE_MOVE:
        s->tail++;
        deliver(s, i, s->content[*chunk], 0);
        s->pc[i] = c->flaw == CURSOR_FIRST ? TAKE_OWN : TAKE_UNLOCK;
        return 1;
    case TAKE_UNLOCK:
        s->lock[GET] = 0;
        s->pc[i] = s->content_seen[i] ? READ : TAKE_LOCK;
        s->content_seen[i] = 0;
        return 1;
    case READ:
        s->content_seen[i] = s->content[*chunk];
        s->pc[i] = READ_MORE;
        return 1;
    case READ_MORE:
        if (s->content[*chunk] != s->content_seen[i] || s->content_seen[i] >= FREE) violation = "torn: changed while it was read";
        s->pc[i] = RELEASE;
        return 1;
    case RELEASE:
        if (s->owner[*chunk] != owned(s, i, CONSUMER) && c->flaw != OWNER_NOT_CHANGED) {
            violation = "a message that is not its consumer's";
            return 1;
        }
        s->holder[s->content_seen[i] >> 2][s->content_seen[i] & 3] = ACKED;
        s->content[*chunk] = FREE;
        s->owner[*chunk] = 0;
        s->content_seen[i] = *chunk = 0;
        s->pc[i] = TAKE_LOCK;
        return 1;
    default: return -1;
    }
}
static void return_it(state *s, int i) { /* instead of RELEASE */
    s->returns--;
    s->holder[s->content_seen[i] >> 2][s->content_seen[i] & 3] = RETURNED;
    s->owner[s->chunk[i]] = c->flaw == RETURNED_IS_FREE ? 0 : NOBODY_ENTRY << 2 | CONSUMER;
    s->content_seen[i] = s->chunk[i] = 0;
    s->pc[i] = TAKE_LOCK;
}
static void see_dead(state *s, int i, int e) {
    s->snapshot[i][e] = s->word[e];
    if (s->word[e] && s->gone[s->word[e]]) s->dead[i] |= (uint8_t)(1 << e);
}
/* Is the chunk to be reclaimed?  Its owner, or 0. */
static uint8_t orphan(const state *s, int i, int k) {
    uint8_t owner = s->owner[k];
    int e = owner >> 2 & 3, in_ring = s->ring[i] >> k & 1, named;
    int waits = c->acknowledges && (owner & 3) == CONSUMER;
    if (!owner || (in_ring && !(c->flaw == ADOPTS_FROM_RING && waits))) return 0;
    named = e < c->entries && (c->flaw == NO_GENERATION ? s->word[e] != 0 : s->word[e] == owner >> 4);
    if (named && !((s->dead[i] >> e & 1) && (s->snapshot[i][e] == owner >> 4 || c->flaw == NO_GENERATION))) return 0;
    if (waits && (puts_(i) || s->back[i] != TAKE_LOCK || s->adopted[i])) return 0; /* it stays, for a consumer */
    return owner;
}
static int step_of_sweep(state *s, int i) {
    int k = s->at[i];
    switch (s->pc[i]) {
    case SWEEP_DEAD: /* one entry a step */
        if (c->flaw != DEAD_AFTER_RING) see_dead(s, i, k);
        if (++s->at[i] < c->entries) return 1;
        s->at[i] = 0;
        s->pc[i] = SWEEP_LOCK;
        return 1;
    case SWEEP_LOCK:
        if (s->lock[GET]) return 0;
        s->lock[GET] = (uint8_t)(i + 1);
        s->pc[i] = SWEEP_RING;
        return 1;
    case SWEEP_RING: /* in one step: under the lock it can only grow, by the living */
        for (int p = s->tail; published(s, p) && p < s->tail + c->capacity; p++) s->ring[i] |= (uint8_t)(1 << s->names[p % c->capacity]);
        if (c->flaw == NO_RING) s->ring[i] = 0;
        s->pc[i] = SWEEP_LOAD;
        return 1;
    case SWEEP_LOAD:
        for (int e = 0; c->flaw == DEAD_AFTER_RING && !k && e < c->entries; e++) see_dead(s, i, e);
        s->owner_seen[i] = orphan(s, i, k);
        s->pc[i] = SWEEP_TRADE;
        return 1;
    case SWEEP_TRADE:
        if (s->owner_seen[i] && s->owner[k] == s->owner_seen[i]) {
            if (c->acknowledges && (s->owner_seen[i] & 3) == CONSUMER) {
                s->owner[k] = owned(s, i, CONSUMER);
                s->adopted[i] = (uint8_t)(k + 1);
                deliver(s, i, s->content[k], 1);
            } else {
                s->owner[k] = 0;
                s->content[k] = FREE;
            }
        }
        s->owner_seen[i] = 0;
        s->pc[i] = SWEEP_LOAD;
        if (++s->at[i] < c->chunks) return 1;
        s->at[i] = 0;
        s->pc[i] = SWEEP_BURY;
        return 1;
    case SWEEP_BURY:
        if ((s->dead[i] >> k & 1) && s->word[k] == s->snapshot[i][k]) s->word[k] = 0;
        if (++s->at[i] < c->entries) return 1;
        s->at[i] = 0;
        s->pc[i] = SWEEP_UNLOCK;
        return 1;
    case SWEEP_UNLOCK:
        s->lock[GET] = s->dead[i] = s->ring[i] = 0;
        memset(s->snapshot[i], 0, ENTRIES);
        s->pc[i] = s->back[i];
        s->back[i] = 0;
        if (!s->adopted[i]) return 1;
        s->chunk[i] = (uint8_t)(s->adopted[i] - 1);
        s->adopted[i] = 0;
        s->pc[i] = READ;
        return 1;
    default: return 0;
    }
}
static int step(state *s, int i) {
    int r = step_of_join(s, i);
    if (r < 0) r = step_of_send(s, i);
    if (r < 0) r = step_of_take(s, i);
    return r < 0 ? step_of_sweep(s, i) : r;
}

/* ------------------------------------------------------------------------------------------------ all of them */
static void name_step(way *w, const char *what, int i, const char *where) { snprintf(w->step, sizeof w->step, "%s %c%d %s", what, c->who[i], i, where); }
static void die_on(state *s, int i) {
    if (s->life[i] == DYING) {
        for (int w = 0; w < 2; w++)
            if (s->lock[w] == i + 1) s->lock[w] = 0;
        s->life[i] = UNLOCKED;
        return;
    }
    s->gone[s->mine[i]] = s->mine[i] != 0;
    s->life[i] = DEAD;
    s->pc[i] = s->chunk[i] = s->content_seen[i] = s->at[i] = s->position[i] = s->back[i] = s->dead[i] = s->ring[i] = s->owner_seen[i] = 0;
    s->adopted[i] = s->mine[i] = s->entry[i] = 0;
    memset(s->snapshot[i], 0, ENTRIES);
}
static int successors(const state *s, way *out) {
    int n = 0;
    for (int i = 0; i < all(); i++) {
        if (s->life[i] == DYING || s->life[i] == UNLOCKED) {
            out[n].s = *s;
            die_on(&out[n].s, i);
            name_step(&out[n++], "kernel buries", i, s->life[i] == DYING ? "(locks)" : "(proof of life)");
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
        if (s->pc[i] == RELEASE && s->returns && c->acknowledges) {
            out[n].s = *s;
            return_it(&out[n].s, i);
            name_step(&out[n++], "", i, "return");
        }
        if (s->kills < c->kills) {
            out[n].s = *s;
            out[n].s.life[i] = DYING;
            out[n].s.kills++;
            name_step(&out[n++], "KILL", i, names[s->pc[i]]);
        }
    }
    return n;
}
/* A producer waits for a chunk: are all of them rightly somebody's? */
static const char *rightly_dry(const state *s, int consumers) {
    for (int k = 0; k < c->chunks; k++) {
        int in_ring = 0, lives = 0;
        for (int p = s->tail; published(s, p) && p < s->tail + c->capacity; p++) in_ring |= s->names[p % c->capacity] == k;
        for (int j = 0; j < all(); j++) lives |= s->life[j] == LIVES && s->mine[j] == s->owner[k] >> 4 && s->owner[k] >> 4;
        if (!in_ring && !lives && !(c->acknowledges && (s->owner[k] & 3) == CONSUMER && !consumers)) return "leaked: a dead owner's chunk, and a producer waits";
    }
    return NULL;
}
static void at_rest(const state *s) {
    int consumers = 0, waiting[PROCESSES] = {0}, p = s->tail;
    const char *wrong = NULL;
    for (int i = 0; i < all(); i++) consumers += s->life[i] == LIVES && !puts_(i);
    for (int i = 0; i < all() && !wrong; i++) {
        if (s->life[i] != LIVES) continue;
        if (s->pc[i] != LOAN && s->pc[i] != SEND_LOCK && s->pc[i] != TAKE_LOCK && s->pc[i] != JOIN_LOCK) wrong = "blocked";
        else if (s->pc[i] == LOAN) wrong = rightly_dry(s, consumers);
    }
    if (consumers && published(s, p)) wrong = "a message, and a consumer that does not take it";
    for (; published(s, p) && p < s->tail + c->capacity; p++) {
        int message = s->content[s->names[p % c->capacity]];
        if (message >= FREE) wrong = "a message that is not written";
        else waiting[message >> 2]++;
    }
    for (int i = 0; i < all(); i++) {
        if (!puts_(i)) continue;
        if (s->last[i] + waiting[i] < c->messages - s->left[i]) wrong = "lost";
        for (int k = 1; c->acknowledges && consumers && k <= s->last[i]; k++)
            if (s->holder[i][k] != ACKED) wrong = "a message was not acknowledged, and did not come again";
    }
    violation = wrong;
}
static void show(const state *s) {
    fprintf(stderr, "   locks %d %d head %d tail %d", s->lock[0], s->lock[1], s->head, s->tail);
    for (int k = 0; k < c->chunks; k++) fprintf(stderr, " chunk%d: generation %d entry %d role %d content %d", k, s->owner[k] >> 4, s->owner[k] >> 2 & 3, s->owner[k] & 3, s->content[k]);
    for (int e = 0; e < c->entries; e++) fprintf(stderr, " entry%d=%d", e, s->word[e]);
    fprintf(stderr, "\n");
}

/* who, messages of each, chunks, entries, capacity, kills, acknowledgement, returns */
static const example examples[] = {
    {"nobody_dies", 0, "PC", 2, 2, 2, 2, 0, 0, 0, SOUND},
    {"one_dies", 0, "PC", 2, 1, 2, 1, 1, 0, 0, SOUND},
    {"one_dies_three_want_two_entries", 0, "PCP", 1, 1, 2, 2, 1, 0, 0, SOUND},
    {"one_dies_three_want_two_entries_two_chunks", 0, "PCP", 1, 2, 2, 2, 1, 0, 0, SOUND},
    {"two_die", 0, "PPC", 1, 1, 3, 1, 2, 0, 0, SOUND},
    {"one_of_two_consumers_dies", 0, "PCC", 2, 1, 3, 2, 1, 0, 0, SOUND},
    {"acknowledge_one_dies", 0, "PCC", 1, 2, 3, 2, 1, 1, 0, SOUND},
    {"acknowledge_one_returns_one_dies", 0, "PCC", 1, 2, 3, 2, 1, 1, 1, SOUND},
    {"acknowledge_two_return", 0, "PCC", 2, 2, 3, 2, 0, 1, 2, SOUND},
    {"acknowledge_three_want_two_entries", 0, "PCC", 2, 1, 2, 1, 1, 1, 0, SOUND},
    {"acknowledge_two_producers", 0, "PCP", 1, 1, 3, 2, 1, 1, 0, SOUND},
    {"acknowledge_two_die", 0, "PCC", 1, 1, 3, 1, 2, 1, 0, SOUND},
    {"acknowledge_two_die_three_want_two_entries", 1, "PCC", 2, 2, 2, 2, 2, 1, 0, SOUND},
    {"two_producers_twice", 1, "PPC", 2, 2, 3, 2, 1, 0, 0, SOUND},
    {"four_want_three_entries", 1, "PPCC", 1, 2, 3, 2, 1, 0, 0, SOUND},
    {"acknowledge_four_want_three_entries", 1, "PPCC", 1, 2, 3, 2, 1, 1, 0, SOUND},
    {"flaw_who_is_dead_asked_after_the_ring", 0, "PPC", 1, 1, 3, 2, 1, 0, 0, DEAD_AFTER_RING},
    {"flaw_cursor_before_the_owner", 0, "PCP", 1, 1, 3, 1, 1, 0, 0, CURSOR_FIRST},
    {"flaw_cursor_before_the_owner_acknowledge", 0, "PCC", 1, 1, 3, 1, 1, 1, 0, CURSOR_FIRST},
    {"flaw_the_ring_is_not_looked_at", 0, "PPC", 1, 1, 3, 1, 1, 0, 0, NO_RING},
    {"flaw_an_owner_is_known_by_its_entry_alone", 0, "PCP", 1, 1, 2, 1, 1, 0, 0, NO_GENERATION},
    {"flaw_written_after_it_was_sent", 0, "PC", 1, 1, 2, 1, 0, 0, 0, SENT_BEFORE_WRITTEN},
    {"flaw_a_consumer_does_not_own_what_it_takes", 0, "PPC", 1, 1, 3, 1, 1, 0, 0, OWNER_NOT_CHANGED},
    {"flaw_what_is_in_the_ring_is_adopted", 0, "PCC", 1, 1, 3, 1, 1, 1, 0, ADOPTS_FROM_RING},
    {"flaw_what_is_returned_is_free", 0, "PCC", 1, 1, 3, 1, 0, 1, 1, RETURNED_IS_FREE},
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
    memset(first.content, FREE, sizeof first.content);
    for (int i = 0; i < all(); i++) first.left[i] = (uint8_t)(puts_(i) ? c->messages : 0);
    first.idle_sweeps = 1;
    first.returns = (uint8_t)c->returns;
    explore(&first, c->is_long ? 28 : 24, c->flaw == SOUND);
    printf("%s\nstates=%lu ends=%lu\n", violation ? violation : "holds", states, ends);
    return (violation != NULL) != (c->flaw != SOUND);
}
