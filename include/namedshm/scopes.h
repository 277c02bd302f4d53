/* namedshm/scopes.h - beginning to use a scope, and ending it.
 *
 * Owns:   that fork(2) is watched (fork.h) before there is anything a child could wrongly keep.
 * Needs:  registry.h.
 */
#ifndef NAMEDSHM_PART_SCOPES_H
#define NAMEDSHM_PART_SCOPES_H
#include "registry.h"

static inline int nshm_place_of(nshm_scope *s, int make, nshm_place **place) {
    int r = nshm__enter();
    if (r) return r;
    r = nshm__registry(s, make, place);
    nshm__exit();
    return r;
}

static inline void nshm_scope_init(nshm_scope *s, int global, const char *session, int64_t group, int may_create) {
    static int once;
    char text[16];
    int fd = open("/proc/sys/kernel/overflowuid", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    if (fd >= 0) close(fd);
    memset(s, 0, sizeof *s);
    text[n > 0 ? n : 0] = 0;
    s->overflow = n > 0 ? (uint32_t)strtoul(text, NULL, 10) : 65534;
    s->global = global;
    s->uid = (uint32_t)geteuid();
    s->session = session && *session ? nshm_hash64(session, strlen(session)) : 0;
    s->group = global ? group : -1;
    s->may_create = !global || may_create || s->uid == 0;
    if (!__atomic_exchange_n(&once, 1, __ATOMIC_SEQ_CST)) pthread_atfork(nshm__before_fork, nshm__after_fork, nshm__in_child);
}
static inline void nshm_scope_release(nshm_scope *s) {
    nshm_place *p, *next;
    if (nshm__enter()) return;
    for (p = nshm__places; p; p = next) {
        next = p->next;
        if (p->scope != s) continue;
        nshm__detach(p->spare.at, p->spare.size);
        p->spare.at = NULL;
        p->let_go = 1;
        if (!p->users) nshm__forget(p);
    }
    nshm__exit();
}
#endif
