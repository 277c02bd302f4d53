/* garbage.c - damaged and hostile registries.
 *
 *   garbage ROUNDS SEED
 *
 * Each round a keeper makes a world with a living object, a dead entry and a few foreign segments, then writes garbage into its
 * registry: whole records, single fields, single bits, absurd numbers, entries that lead to foreign or other living segments.
 * A new process then opens, creates, lists and closes.  It may fail, with a documented error, but it must not crash, hang, write
 * outside, or take a segment of another size, creator or kind for the object it looks for.
 *
 * Left out: a lock word that says that somebody living has it.  That costs the documented patience, and is a test of its own.
 */
#include "common.h"

#include "namedshm.h"

enum { SIZE = 5000, TAKES_TOO_LONG = 8 };
static nshm_scope scope;
static long violations;
static _Atomic long *outcomes; /* of opens: found, absent, refused */

static void __attribute__((format(printf, 1, 2))) violation(const char *format, ...) {
    va_list list;
    if (violations++ >= 5) return;
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
}

/* ------------------------------------------------------------------------------------------------ the keeper */
static int make(const char *name, uint64_t size, uint16_t type, nshm_handle *h) {
    return nshm_create(&scope, type, name, strlen(name), size, 0600, -1, 0, 0, 0, NULL, NULL, h);
}

static int foreign(size_t size, int keep) { /* a segment that is not of the protocol */
    int id = shmget(IPC_PRIVATE, size, IPC_CREAT | 0600);
    char *at = shmat(id, NULL, 0);
    if (id < 0 || at == (void *)-1) broken("a foreign segment");
    memset(at, 'f', size);
    if (!keep) shmctl(id, IPC_RMID, NULL); /* marked, and living while we have it: the worst kind */
    return id;
}

static uint32_t absurd(void) {
    static const uint32_t values[] = {0, 1, 2, 0x7f, 0xff, 0x100, 0xffff, 0x10000, 0x7fffffff, 0x80000000u, 0xfffffffeu, 0xffffffffu,
                                      NSHM_CAPACITY - 1, NSHM_CAPACITY, NSHM_CAPACITY + 1, NSHM_NAME_MAX, NSHM_NAME_MAX + 1, 4096};
    return below(4) ? values[below(sizeof values / sizeof *values)] : (uint32_t)random_word();
}

static void spoil_record(nshm_record *r, const int *ids, int id_count) {
    switch (below(12)) {
    case 0: for (size_t i = 0; i < sizeof *r; i++) ((unsigned char *)r)[i] = (unsigned char)random_word(); break;
    case 1: memset(r, (int)below(256), sizeof *r); break;
    case 2: r->size = (uint64_t)absurd() << below(33) | absurd(); break;
    case 3: r->token = ids[below((uint32_t)id_count)]; break;
    case 4: r->data = below(3) ? ids[below((uint32_t)id_count)] : -(int)below(5); break;
    case 5: r->token_size = absurd(); break;
    case 6: r->maker = absurd(); break;
    case 7: r->type = (uint16_t)absurd(); break;
    case 8: r->length = (uint16_t)absurd(); break;
    case 9: r->props = absurd(); break;
    case 10: r->closing = absurd(); break;
    default: ((unsigned char *)r)[below(sizeof *r)] ^= (unsigned char)(1u << below(8)); break;
    }
}

static void spoil(nshm_registry *t, const int *ids, int id_count) {
    uint32_t known = t->used < 8 ? t->used : 8;
    for (uint32_t n = 1 + below(4); n--;) {
        uint32_t slot = below(3) ? below(known ? known : 1) : below(NSHM_CAPACITY);
        switch (below(8)) {
        case 0: t->used = absurd(); break;
        case 1: t->hash[slot] = below(2) ? t->hash[below(4)] : absurd(); break;
        case 2: /* a copy of a living entry elsewhere, whole or changed */
            t->record[slot] = t->record[below(4)];
            t->hash[slot] = t->hash[below(4)];
            if (slot >= t->used) t->used = slot + 1;
            break;
        case 3: /* only the owner's death is left in the lock */
            t->lock = FUTEX_OWNER_DIED | (below(2) ? FUTEX_WAITERS : 0) | (absurd() & FUTEX_TID_MASK);
            break;
        default: spoil_record(&t->record[slot], ids, id_count); break;
        }
    }
}

static void keep(int ready, int is_damaged) {
    static const char *const names[] = {"X", "Y", "other", "dead"};
    nshm_handle h[4];
    int ids[16], n = 0;
    for (int i = 0; i < 4; i++) {
        if (make(names[i], SIZE + (uint64_t)i, NSHM_SECTION, &h[i])) broken("the keeper");
        ((char *)h[i].data)[0] = names[i][0];
        ids[n++] = h[i].token_id;
        ids[n++] = h[i].data_id;
    }
    ids[n++] = nshm__places->id;
    ids[n++] = foreign(SIZE, 0);
    ids[n++] = foreign(3, 1);
    ids[n++] = foreign(1 << 20, 0);
    ids[n++] = foreign(h[0].token_size, 0);
    ids[n++] = (int)random_word();
    munmap(h[3].token, nshm_page_round(h[3].token_size)); /* an entry whose object is dead, as after a kill */
    munmap(h[3].data, nshm_page_round(h[3].size));
    if (is_damaged) spoil(nshm__places->registry, ids, n);
    if (write(ready, "!", 1) != 1) _exit(BROKEN);
    for (;;) pause();
}

/* ------------------------------------------------------------------------------------------------ the newcomer */
static int documented(int r) {
    static const int known[] = {ENOENT, EEXIST, EACCES, EPERM, EBADMSG, ENOSPC, ENOMEM, EINVAL, ENOSYS, ENFILE, ETIMEDOUT, EINTR, EUCLEAN, ESTALE};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (r == -known[i]) return 1;
    return !r;
}
/* What we got must be a segment that its maker marked, of the size the handle says; then its memory may be touched. */
static int is_sound(const char *what, nshm_handle *h) {
    struct shmid_ds d;
    size_t size = nshm_data_size(h->size, h->props);
    if (!h->token || shmctl(h->token_id, IPC_STAT, &d) || d.shm_segsz != h->token_size || !(d.shm_perm.mode & SHM_DEST))
        return fprintf(stderr, "%s: the token is not what the handle says\n", what), 0;
    if (!h->data) return h->data_id < 0 || (fprintf(stderr, "%s: a data segment is named but not attached\n", what), 0);
    if (shmctl(h->data_id, IPC_STAT, &d) || d.shm_segsz != size || !(d.shm_perm.mode & SHM_DEST))
        return fprintf(stderr, "%s: the data segment is not what the handle says\n", what), 0;
    volatile char *p = h->data;
    (void)p[0];
    if (h->size) (void)p[h->size - 1];
    return 1;
}
static int visit(void) {
    nshm_handle h;
    nshm_info info;
    uint32_t cursor = 0, listed = 0;
    int r, ok = 1;
    static const char *const names[] = {"X", "Y", "other", "dead", "new"};
    alarm(TAKES_TOO_LONG);
    for (int i = 0; i < 5; i++) {
        r = nshm_open(&scope, NSHM_SECTION, names[i], strlen(names[i]), below(2) ? NSHM_READONLY : 0, &h);
        if (!documented(r)) fprintf(stderr, "open %s: %d\n", names[i], r), ok = 0;
        atomic_fetch_add(&outcomes[!r ? 0 : r == -ENOENT ? 1 : 2], 1);
        if (!r) ok &= is_sound("open", &h), nshm_close(&h, 0);
        if ((r = nshm_open(&scope, NSHM_MUTEX, names[i], strlen(names[i]), 0, &h)) == 0) nshm_close(&h, 0);
    }
    while (!(r = nshm_next(&scope, &cursor, &info)) && listed++ <= NSHM_CAPACITY)
        if (info.record.length > NSHM_NAME_MAX) fprintf(stderr, "list: a name of %d bytes\n", info.record.length), ok = 0;
    if (listed > NSHM_CAPACITY || !documented(r)) fprintf(stderr, "list: %d, %u objects\n", r, listed), ok = 0;
    for (int i = 0; i < 5; i++) {
        r = nshm_create(&scope, NSHM_SECTION, names[i], strlen(names[i]), SIZE, 0600, -1, 0, below(2) ? NSHM_EXCLUSIVE : 0, 0, NULL, NULL, &h);
        if (!documented(r)) fprintf(stderr, "create %s: %d\n", names[i], r), ok = 0;
        if (!r) {
            ok &= is_sound("create", &h);
            if (h.created)
                for (int k = 0; k < SIZE; k++)
                    if (((char *)h.data)[k]) {
                        fprintf(stderr, "create %s: not zero\n", names[i]);
                        ok = 0;
                        break;
                    }
            if (below(2)) nshm_close(&h, 0);
        }
    }
    return !ok;
}

static void round_of(int round, int is_damaged) {
    int ready[2], status;
    char byte;
    if (pipe2(ready, O_CLOEXEC)) broken("pipe");
    pid_t keeper = fork_known();
    if (keeper < 0) broken("fork");
    if (!keeper) keep(ready[1], is_damaged);
    close(ready[1]);
    if (read(ready[0], &byte, 1) != 1) broken("the keeper did not come up");
    close(ready[0]);
    random_word();
    for (int visitors = 2; visitors--;) {
        pid_t pid = fork_known();
        if (pid < 0) broken("fork");
        stir((uint64_t)round);
        if (!pid) _exit(visit());
        while (waitpid(pid, &status, 0) < 0)
            if (errno != EINTR) broken("waitpid");
        if (WIFSIGNALED(status)) violation("round %d: died of signal %d", round, WTERMSIG(status));
        else if (status) violation("round %d: see above", round);
    }
    kill(keeper, SIGKILL);
    while (waitpid(keeper, NULL, 0) < 0 && errno == EINTR) {}
    segment list[64]; /* foreign ones are not marked: remove them by hand */
    struct shmid_ds d;
    struct shm_info info;
    if (isolated)
        for (int i = 0, max = shmctl(0, SHM_INFO, (struct shmid_ds *)&info); i <= max; i++) {
            int id = shmctl(i, SHM_STAT_ANY, &d);
            if (id >= 0 && d.shm_segsz == 3) shmctl(id, IPC_RMID, NULL);
        }
    if (own_segments(list, 64)) {
        violation("round %d: segments are left", round);
        show_segments();
    }
}

int main(int argc, char **argv) {
    int rounds = argc > 1 ? atoi(argv[1]) : 300;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL);
    char session[64];
    double start = seconds();
    snprintf(session, sizeof session, "garbage-%d-%lx", (int)getpid(), (long)time(NULL));
    unsetenv("NSHM_TEST_NO_NAMESPACE");
    enter_own_world();
    if (!isolated) return 77; /* foreign segments are for a world of our own only */
    outcomes = shared_memory(4096);
    stir(seed);
    nshm_scope_init(&scope, NSHM_LOCAL, session, -1, 1);
    round_of(-1, 0);
    int round = 0;
    while (round < rounds && !violations) round_of(round++, 1);
    printf("rounds=%d found=%ld absent=%ld refused=%ld violations=%ld seconds=%.1f\n", round, outcomes[0], outcomes[1], outcomes[2],
           violations, seconds() - start);
    return violations ? CAUGHT : 0;
}
