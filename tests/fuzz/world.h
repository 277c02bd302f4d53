/* world.h - what the fuzzers share: a world of their own, in which somebody holds names, and whose memory the input overwrites.
 *
 * The fuzzer is the hostile process and its victim at once: it writes to its own attachments of the registry and of the control pages
 * what a process with the right to write there could have written, then calls the library.  The objects are held by another process,
 * the keeper, so that their lives do not depend on the fuzzer.
 *
 * The input is a program of writes (see scribble): numbers that matter (ids, hashes, sizes) have short spellings, everything can
 * be overwritten by raw bytes.  Afterwards the memory is put back as it was.
 *
 * Left out: a lock word that says that somebody living has it.  That costs the documented patience, and is a test of its own (stopped.c).
 */
#ifndef FUZZ_WORLD_H
#define FUZZ_WORLD_H
#include "../crash/common.h"

/* A receiver waits, with naps, until its sender has let go; here both are one. */
static inline int no_nap(const struct timespec *request, struct timespec *rest) { return (void)request, (void)rest, 0; }
#define nanosleep no_nap
#include "namedshm_sync.h"
#undef nanosleep

enum { SIZE = 5000, SLOTS = 16, OBJECTS = 8, SMALL_IDS = 32 };
typedef struct {
    const char *name;
    uint16_t type;
    uint64_t size;
    uint32_t props;
    nshm_sync_start start;
} kept_object;
static const kept_object objects[OBJECTS] = {
    {"X", NSHM_SECTION, SIZE, 0, {0, 0, 0, 0}},
    {"Y", NSHM_SECTION, SIZE + 1, NSHM_OBJ_READONLY, {0, 0, 0, 0}},
    {"R", NSHM_SECTION, 3 * 4096 + 1, NSHM_OBJ_RESERVE, {0, 0, 0, 0}},
    {"M", NSHM_MUTEX, NSHM_WORDS_SIZE, 0, {NSHM_MUTEX, 0, 0, 0}},
    {"E", NSHM_EVENT, NSHM_WORDS_SIZE, 0, {NSHM_EVENT, 0, 0, 0}},
    {"A", NSHM_EVENT, NSHM_WORDS_SIZE, 0, {NSHM_EVENT, 1, 0, 1}},
    {"S", NSHM_SEMAPHORE, NSHM_WORDS_SIZE, 0, {NSHM_SEMAPHORE, 0, 9, 3}},
    {"dead", NSHM_SECTION, SIZE + 2, 0, {0, 0, 0, 0}},
};

static nshm_scope scope;
static nshm_registry *registry;
static struct { /* shared with the keeper */
    int ids[SMALL_IDS], count;
    nshm_handle kept[OBJECTS];
} *facts;

/* Memory as it was, to be put back: the header up to the hashes, the first slots. */
static struct {
    char head[offsetof(nshm_registry, hash)];
    uint32_t hash[SLOTS];
    nshm_record record[SLOTS];
} saved;

static inline void __attribute__((noreturn, format(printf, 1, 2))) caught(const char *format, ...) {
    va_list list;
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
    abort(); /* the fuzzer keeps the input */
}

/* ------------------------------------------------------------------------------------------------ the keeper */
static int foreign(size_t size, int keep) { /* a segment that is not of the protocol */
    int id = shmget(IPC_PRIVATE, size, IPC_CREAT | 0600);
    char *at = shmat(id, NULL, 0);
    if (id < 0 || at == (void *)-1) broken("a foreign segment");
    memset(at, 'f', size);
    if (!keep) shmctl(id, IPC_RMID, NULL);
    return id;
}
static int make(const kept_object *o, int flags, nshm_handle *h) {
    nshm_sync_start start = o->start;
    return nshm_create(&scope, o->type, o->name, strlen(o->name), o->size, 0600, -1, o->props, flags, 0, o->start.type ? nshm_sync_fill : NULL,
                       &start, h);
}
static void keep(int ready) {
    int n = 0;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int i = 0; i < OBJECTS; i++) {
        nshm_handle *h = &facts->kept[i];
        int r = make(&objects[i], NSHM_EXCLUSIVE, h);
        if (r) broken("the keeper: %d", r);
        facts->ids[n++] = h->token_id;
        facts->ids[n++] = h->data_id;
    }
    facts->ids[n++] = nshm__places->id;
    facts->ids[n++] = foreign(SIZE, 0);
    facts->ids[n++] = foreign(3, 1);
    facts->ids[n++] = foreign(1 << 20, 0);
    facts->ids[n++] = foreign(facts->kept[0].token_size, 0);
    facts->ids[n++] = 0x7fffffff;
    facts->ids[n++] = -1;
    facts->count = n;
    nshm__drop(&facts->kept[OBJECTS - 1]); /* an entry whose object is dead, as after a kill */
    if (write(ready, "!", 1) != 1) _exit(BROKEN);
    for (;;) pause();
}

static long attached_before[SMALL_IDS];
static long attachments(int k) {
    struct shmid_ds d;
    return shmctl(facts->ids[k], IPC_STAT, &d) ? -1 : (long)d.shm_nattch;
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    int ready[2];
    char byte;
    nshm_place *place;
    (void)argc, (void)argv;
    /* No other process ids: the fuzzer's own process must be in the new namespace. */
    if (unshare(CLONE_NEWIPC)) {
        unsigned uid = geteuid();
        char map[64];
        if (unshare(CLONE_NEWUSER | CLONE_NEWIPC)) {
            fprintf(stderr, "needs an IPC namespace of its own\n");
            exit(99);
        }
        snprintf(map, sizeof map, "%u %u 1", uid, uid);
        write_text("/proc/self/uid_map", map);
    }
    facts = shared_memory(sizeof *facts);
    nshm_scope_init(&scope, NSHM_LOCAL, "fuzz", -1, 1);
    if (pipe2(ready, O_CLOEXEC)) broken("pipe");
    pid_t keeper = fork();
    if (keeper < 0) broken("fork");
    if (!keeper) keep(ready[1]);
    close(ready[1]);
    if (read(ready[0], &byte, 1) != 1) broken("the keeper did not come up");
    close(ready[0]);
    if (nshm_place_of(&scope, 0, &place)) broken("no registry");
    place->users++; /* it stays */
    registry = place->registry;
    memcpy(saved.head, registry, sizeof saved.head);
    memcpy(saved.hash, registry->hash, sizeof saved.hash);
    memcpy(saved.record, registry->record, sizeof saved.record);
    for (int k = 0; k < facts->count; k++) attached_before[k] = attachments(k);
    return 0;
}

/* ------------------------------------------------------------------------------------------------ reading the input */
typedef struct {
    const uint8_t *at, *end;
} input;
static inline uint32_t take(input *in, int bytes) {
    uint32_t v = 0;
    for (int i = 0; i < bytes && in->at < in->end; i++) v |= (uint32_t)*in->at++ << 8 * i;
    return v;
}
static inline uint32_t a_number(input *in) { /* one that matters, or any */
    static const uint32_t values[] = {0, 1, 2, 0x7f, 0xff, 0x100, 0xffff, 0x10000, 0x10001, 0x7fffffff, 0x80000000u, 0xfffffffeu, 0xffffffffu, 4096,
                                      NSHM_CAPACITY - 1, NSHM_CAPACITY, NSHM_CAPACITY + 1, NSHM_NAME_MAX, NSHM_NAME_MAX + 1, SIZE};
    uint32_t kind = take(in, 1);
    return kind < 0x80 ? values[kind % (sizeof values / sizeof *values)] : take(in, 4);
}
static inline int an_id(input *in) {
    uint32_t k = take(in, 1);
    return k < 0xf0 ? facts->ids[k % (uint32_t)facts->count] : (int)take(in, 4);
}
static inline void raw(input *in, void *to, size_t room) { /* bytes somewhere */
    size_t offset = take(in, 2) % room, n = take(in, 1) + 1;
    for (size_t i = 0; i < n && offset + i < room && in->at < in->end; i++) ((uint8_t *)to)[offset + i] = *in->at++;
}
static inline void scribble_record(input *in, nshm_record *r) {
    switch (take(in, 1) % 14) {
    case 0: raw(in, r, sizeof *r); break;
    case 1: r->nonce = take(in, 4) | (uint64_t)take(in, 4) << 32; break;
    case 2: r->size = (uint64_t)a_number(in) << take(in, 1) % 64 | a_number(in); break;
    case 3: r->token = an_id(in); break;
    case 4: r->data = an_id(in); break;
    case 5: r->token_size = a_number(in); break;
    case 6: r->maker = a_number(in); break;
    case 7: r->mode = a_number(in); break;
    case 8: r->props = a_number(in); break;
    case 9: r->type = (uint16_t)(take(in, 1) % 8 ? take(in, 1) % 8 : a_number(in)); break;
    case 10: r->length = (uint16_t)a_number(in); break;
    case 11: r->closing = a_number(in); break;
    case 12: r->size = objects[take(in, 1) % OBJECTS].size; break;
    default: r->token_size = (uint32_t)facts->kept[take(in, 1) % OBJECTS].token_size; break;
    }
}

/* ------------------------------------------------------------------------------------------------ afterwards */
static uint32_t untouched = ~0u; /* bits of the slots that the input left alone */
static inline void touched(uint32_t slot) {
    if (slot < SLOTS) untouched &= ~(1u << slot);
}
static inline void put_back(void) {
    memcpy(registry, saved.head, sizeof saved.head);
    memcpy(registry->hash, saved.hash, sizeof saved.hash);
    memcpy(registry->record, saved.record, sizeof saved.record);
    untouched = ~0u;
}
/* What lives and was left alone is as it was: nothing freed it, took it over or changed it. */
static inline void check_the_living(void) {
    for (uint32_t i = 0; i < OBJECTS - 1; i++) {
        const nshm_record *r = &registry->record[i];
        if (!(untouched & 1u << i)) continue;
        if (registry->hash[i] != saved.hash[i]) caught("the slot of %s was freed", objects[i].name);
        if (memcmp(r, &saved.record[i], offsetof(nshm_record, closing)) || memcmp(r->name, saved.record[i].name, r->length))
            caught("the record of %s was changed", objects[i].name);
    }
}
/* Nothing stays attached. */
static inline void check_attachments(void) {
    for (int k = 0; k < facts->count; k++) {
        long n = attachments(k);
        if (n != attached_before[k]) caught("segment %d has %ld attachments, %ld before", k, n, attached_before[k]);
    }
}
static inline int documented(int r) {
    static const int known[] = {ENOENT, EEXIST, EACCES, EPERM, EBADMSG, ENOSPC, ENOMEM, EINVAL, ENOSYS, EPROTO,
                                ENFILE, ETIMEDOUT, EINTR, EUCLEAN, EREMCHG, ESTALE};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (r == -known[i]) return 1;
    return !r;
}
/* What we got must be a segment that its maker marked, of the size the handle says; then its memory may be touched. */
static inline void check_handle(const char *what, const nshm_handle *h) {
    struct shmid_ds d;
    size_t size = nshm_data_size(h->size, h->props);
    if (!h->token || shmctl(h->token_id, IPC_STAT, &d) || d.shm_segsz != h->token_size || !(d.shm_perm.mode & SHM_DEST))
        caught("%s: the token is not what the handle says", what);
    int is_section = h->type == NSHM_SECTION || h->type == NSHM_PARCEL;
    if (is_section ? !h->size || (!h->data && !(h->props & NSHM_OBJ_FILE)) : !h->data || h->size != NSHM_WORDS_SIZE || h->props)
        caught("%s: no object of type %u is like this: size %llu, properties %x", what, h->type, (unsigned long long)h->size, h->props);
    if (!h->data) {
        if (h->data_id >= 0) caught("%s: a data segment is named but not attached", what);
        return;
    }
    if (shmctl(h->data_id, IPC_STAT, &d) || d.shm_segsz != size || !(d.shm_perm.mode & SHM_DEST))
        caught("%s: the data segment is not what the handle says", what);
    volatile char *p = h->data;
    (void)p[0];
    if (h->size) (void)p[h->size - 1];
}
#endif
