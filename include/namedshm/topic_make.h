/* namedshm/topic_make.h - making, opening and closing a topic.
 *
 * Owns:   a topic is formatted before its name exists.  Whoever opens it copies the constants, and computes from the copies where
 *         everything lies; it is believed only if it says the same and fits into the segment.  The wishes lie in the token: it lives
 *         exactly as long as the topic, so they need no segment, no key and no sweeping of their own; and it may be written by
 *         whoever may read the topic (nshm__make).
 * Needs:  handles.h, topic_join.h.
 */
#ifndef NAMEDSHM_PART_TOPIC_MAKE_H
#define NAMEDSHM_PART_TOPIC_MAKE_H
#include "handles.h"
#include "topic_join.h"

static inline void nshm__topic_format(void *memory, const nshm_topic_start *start, const nshm_topic_offsets *o) {
    nshm_topic_head *h = (nshm_topic_head *)memory;
    h->version = NSHM_TOPIC_VERSION;
    h->mode = start->mode;
    h->history = start->history;
    h->ring = o->ring_size;
    h->stride = o->stride;
    h->inline_max = start->inline_max;
    h->frames = o->frames;
    h->pins = start->pins;
    h->writers = start->writers;
    h->schema_kind = start->schema_kind;
    h->schema_size = start->schema_size;
    h->value_max = start->value_max;
    h->frame_size = o->frame_size;
    h->size = o->size;
    if (start->schema_size) memcpy((char *)memory + o->schema, start->schema, start->schema_size);
    nshm__poke(&h->magic, NSHM_TOPIC_MAGIC, RELEASE);
}
static inline int nshm__topic_fill(nshm_handle *h, void *context) { /* an nshm_filler */
    const nshm_topic_start *start = (const nshm_topic_start *)context;
    nshm_topic_offsets o;
    int r = nshm__topic_layout(start, &o);
    if (!r) nshm__topic_format(h->data, start, &o);
    return r;
}

/* All of a topic but its handle, from memory of that size.  -EPROTO: another version; -EUCLEAN: not a topic, or damaged. */
static inline int nshm__topic_attach(nshm_topic *t, void *memory, uint64_t size, void *wishes) {
    nshm_topic_head *h = (nshm_topic_head *)memory;
    nshm_topic_start p;
    nshm_topic_offsets o;
    if (size < sizeof *h || nshm__peek(&h->magic, ACQUIRE) != NSHM_TOPIC_MAGIC) return -EUCLEAN;
    if (nshm__peek(&h->version, RELAXED) != NSHM_TOPIC_VERSION) return -EPROTO;
    p.history = nshm__peek(&h->history, RELAXED);
    p.inline_max = nshm__peek(&h->inline_max, RELAXED);
    p.pins = nshm__peek(&h->pins, RELAXED);
    p.writers = nshm__peek(&h->writers, RELAXED);
    p.mode = nshm__peek(&h->mode, RELAXED);
    p.value_max = nshm__peek(&h->value_max, RELAXED);
    p.schema_kind = nshm__peek(&h->schema_kind, RELAXED);
    p.schema_size = nshm__peek(&h->schema_size, RELAXED);
    p.schema = NULL;
    if (nshm__topic_layout(&p, &o) || o.size != nshm__peek(&h->size, RELAXED) || o.size > size ||
        o.ring_size != nshm__peek(&h->ring, RELAXED) || o.stride != nshm__peek(&h->stride, RELAXED) ||
        o.frames != nshm__peek(&h->frames, RELAXED) || o.frame_size != nshm__peek(&h->frame_size, RELAXED))
        return -EUCLEAN;
    t->head = h;
    t->places = (nshm_topic_place *)((char *)memory + o.places);
    t->frame = (nshm_topic_frame *)((char *)memory + o.frame);
    t->ring = (char *)memory + o.ring;
    t->data = (char *)memory + o.data;
    t->wishes = (uint32_t *)wishes;
    t->schema = (char *)memory + o.schema;
    t->history = p.history;
    t->ring_size = o.ring_size;
    t->stride = o.stride;
    t->inline_max = p.inline_max;
    t->frames = o.frames;
    t->pins = p.pins;
    t->writers = p.writers;
    t->mode = p.mode;
    t->schema_kind = p.schema_kind;
    t->schema_size = p.schema_size;
    t->value_max = p.value_max;
    t->frame_size = o.frame_size;
    t->spin = NSHM_TOPIC_SPIN;
    t->forks = nshm__peek(&nshm__forks, ACQUIRE);
    memset(t->mine, 0, sizeof t->mine);
    memset(t->idle, 0, sizeof t->idle);
    t->life = NULL;
    return 0;
}
/* The same, of an open handle (one that was received, for instance).  After an error the handle is still open. */
static inline int nshm__topic_begin(nshm_topic *t) {
    if (t->handle.type != NSHM_TOPIC || !t->handle.token || t->handle.token_size < NSHM_TOPIC_ROOM) return -EUCLEAN;
    return nshm__topic_attach(t, t->handle.data, t->handle.size, t->handle.token);
}

static inline int nshm_topic_size(const nshm_topic_start *start, uint64_t *size) {
    nshm_topic_offsets o;
    int r = nshm__topic_layout(start, &o);
    if (!r) *size = o.size;
    return r;
}
static inline int nshm_topic_create(nshm_scope *s, const char *name, size_t n, unsigned mode, int64_t group, int flags,
                                    const nshm_topic_start *start, nshm_topic *t) {
    nshm_topic_start copy = *start;
    uint64_t size;
    int r = nshm_topic_size(&copy, &size);
    if (r || (flags & NSHM_READONLY) || (copy.schema_size && !copy.schema)) return r ? r : -EINVAL;
    r = nshm_create(s, NSHM_TOPIC, name, n, size, mode, group, NSHM_UNCOUNTED, flags, NSHM_TOPIC_ROOM, nshm__topic_fill, &copy, &t->handle);
    if (r) return r;
    if (!(r = nshm__topic_begin(t)) && t->handle.created) r = nshm__topic_populate(t);
    if (r) nshm_close(&t->handle, 0);
    return r;
}
static inline int nshm_topic_open(nshm_scope *s, const char *name, size_t n, int flags, nshm_topic *t) {
    int r = nshm_open(s, NSHM_TOPIC, name, n, flags, &t->handle);
    if (r || !(r = nshm__topic_begin(t))) return r;
    nshm_close(&t->handle, 0);
    return r;
}
/* The name of a topic whose memory others of this process still use goes at once.  `h`: a copy of its handle, without data.  They may be
 * at the wishes: so the token is not detached, but another page takes its place in one step, and stays until the caller unmaps it.
 * Whoever sleeps through this handle may then not be woken, but by his nap. */
static inline void nshm_topic_close_name(nshm_handle *h) {
    if (!h->token || nshm__enter()) return;
    void *page = mmap(h->token, nshm_page_round(h->token_size), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    if (page != MAP_FAILED) { /* else the name goes when the page is unmapped */
        h->token = NULL;
        nshm__tidy_after(h);
    }
    nshm__exit();
}
static inline void nshm_topic_close(nshm_topic *t) {
    nshm__topic_leave(t);
    nshm_close(&t->handle, 0);
}
#endif
