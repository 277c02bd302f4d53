/* namedshm/attachments.h - attaching segments to this process's memory, and detaching them.
 *
 * An object's data lies directly below its token where that is possible: then one munmap(2) ends both.  Behind a mutex's page lies a
 * private page of this process, between data and token.
 *
 *     | data, whole pages | private page (mutexes only) | token |
 *
 * Owns:   where the attachments of a handle lie.  Detaching is munmap(2) of exactly what was attached, because shmdt(2) searches by
 *         address and would also take a neighbour that was split off the same segment.
 * Needs:  types.h.
 */
#ifndef NAMEDSHM_PART_ATTACHMENTS_H
#define NAMEDSHM_PART_ATTACHMENTS_H
#include "types.h"

static inline void *nshm__attach(int id, int readonly) { /* NULL with errno */
    void *p = shmat(id, NULL, readonly ? SHM_RDONLY : 0);
    return p == (void *)-1 ? NULL : p;
}
/* A token, of an object of that type.  Nobody writes to one but the readers of a topic: they say there that they are about to sleep. */
static inline void *nshm__attach_token(uint16_t type, int id) { return nshm__attach(id, type != NSHM_TOPIC); }
/* Attach directly below another attachment if the place is free.  One munmap(2) less is an eighth of the time of open and
 * close. */
static inline void *nshm__attach_below(const void *neighbour, uint64_t size, int id, int readonly) {
    if (neighbour && size <= 1u << 24) {
        void *p = shmat(id, (const char *)neighbour - nshm_page_round(size), readonly ? SHM_RDONLY : 0);
        if (p != (void *)-1) return p;
    }
    return nshm__attach(id, readonly);
}
/* NSHM_OBJ_HUGE: ask for huge pages.  The advice is per attachment, so each gets it; a kernel without huge pages refuses, which
 * is fine.  Such data has no neighbour: where the kernel chooses the place, it is a multiple of the size of a huge page. */
static inline void nshm__advise(void *data, uint64_t size, uint32_t props) {
    int e = errno;
    if (data && props & NSHM_OBJ_HUGE) madvise(data, nshm_page_round(size), MADV_HUGEPAGE);
    errno = e;
}
static inline void nshm__detach(void *p, size_t size) {
    if (p && size) munmap(p, nshm_page_round(size));
}

/* Put a private page behind a mutex's page.  It has the mutex's node in this process's robust list (sync_robust.h): the kernel
 * and the C library follow the pointers that stand there, so no other process may write them.  In a forked child it begins as
 * zeros.  `at`: an attachment of exactly one page.  Returns where it is now, for it may have to move; NULL with errno if this
 * fails, and it is detached. */
static inline void *nshm__back(void *at) {
    const int prot = PROT_READ | PROT_WRITE, anonymous = MAP_PRIVATE | MAP_ANONYMOUS;
    char *room, *behind = (char *)mmap((char *)at + 4096, 4096, prot, anonymous | MAP_FIXED_NOREPLACE, -1, 0);
    int e;
    if (behind == (char *)at + 4096 && !madvise(behind, 4096, MADV_WIPEONFORK)) return at;
    if (behind != (char *)MAP_FAILED) munmap(behind, 4096);
    room = (char *)mmap(NULL, 8192, prot, anonymous, -1, 0); /* something else is mapped there: move to where two pages are free */
    if (room != (char *)MAP_FAILED && !madvise(room + 4096, 4096, MADV_WIPEONFORK) &&
        mremap(at, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, room) != MAP_FAILED)
        return room;
    e = errno;
    if (room != (char *)MAP_FAILED) munmap(room, 8192);
    nshm__detach(at, 4096);
    errno = e;
    return NULL;
}

/* Bytes mapped for the data: whole pages, and a mutex's private page. */
static inline size_t nshm__span(uint16_t type, uint64_t size, uint32_t props) {
    return nshm_page_round(nshm_data_size(size, props)) + (type == NSHM_MUTEX ? 4096 : 0);
}

/* Attaching data takes two steps: nshm__attach_data, and nshm__place_data once the segment is known to be the one that was
 * meant. */
static inline const void *nshm__neighbour(uint16_t type, uint32_t props, const void *token) {
    if (!token || props & NSHM_OBJ_HUGE) return NULL;
    return type == NSHM_MUTEX ? (const char *)token - 4096 : token;
}
static inline void *nshm__attach_data(uint16_t type, uint64_t size, uint32_t props, int id, int readonly, const void *token) {
    return nshm__attach_below(nshm__neighbour(type, props, token), nshm_data_size(size, props), id, readonly || (props & NSHM_OBJ_READONLY));
}
static inline int nshm__place_data(uint16_t type, uint64_t size, uint32_t props, void **data) {
    if (type == NSHM_MUTEX) return (*data = nshm__back(*data)) ? 0 : -errno;
    nshm__advise(*data, size, props);
    return 0;
}

/* Detach what a handle has: the name first, then the memory. */
static inline void nshm__drop(nshm_handle *h) {
    size_t n = nshm__span(h->type, h->size, h->props);
    if (h->token && h->data && (char *)h->data + n == (char *)h->token) munmap(h->data, n + nshm_page_round(h->token_size));
    else if (h->token && h->data && (char *)h->token + nshm_page_round(h->token_size) == (char *)h->data)
        munmap(h->token, n + nshm_page_round(h->token_size));
    else {
        nshm__detach(h->token, h->token_size);
        NSHM_STEP("dropped-token");
        nshm__detach(h->data, n);
    }
    h->token = h->data = NULL;
}
#endif
