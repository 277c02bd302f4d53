/* namedshm/types_windows.h - what a caller of namedshm_queue.h holds on Windows: a scope and a handle.
 *
 * Programs are compiled by gcc or clang (mingw-w64) and linked with ntdll and advapi32.
 *
 * Owns:   nothing shared.
 * Needs:  common.h.
 */
#ifndef NAMEDSHM_PART_TYPES_WINDOWS_H
#define NAMEDSHM_PART_TYPES_WINDOWS_H
#include "common.h"
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <windows.h>

/* Numbers of errors that only Linux has.  (They must not meet others; Windows' errno.h ends at 140.) */
#ifndef EUCLEAN
#define EUCLEAN 1117
#endif
#ifndef ESTALE
#define ESTALE 1116
#endif

/* Local\: the names of this session; Global\: of the machine. */
typedef struct nshm_scope {
    int global;
} nshm_scope;
typedef nshm_scope nshm_place;

/* A handle to a queue: the caller owns it.  It stays where it is while it is open (nshm__queues). */
typedef struct nshm_handle {
    nshm_scope *scope;
    nshm_place *place;
    HANDLE section, companion;
    HANDLE bell[3]; /* auto-reset events, to sleep on: messages, room, chunks */
    void *data;
    unsigned char *committed; /* of each chunk: this process has seen to that it has memory */
    uint64_t size, nonce;
    int readonly, created;
    struct nshm_handle *next; /* in nshm__queues */
} nshm_handle;

/* The other arguments are Linux's: sessions are Windows' own, and so is the right to create in Global\. */
static inline void nshm_scope_init(nshm_scope *s, int global, const char *session, int64_t group, int may_create) {
    (void)session, (void)group, (void)may_create;
    s->global = global;
}
static inline void nshm_scope_release(nshm_scope *s) { (void)s; }

static __thread DWORD nshm__why; /* what GetLastError() said at this thread's last failure */
static inline int nshm_why(void) { return (int)nshm__why; }
static inline int nshm__unsure(int e) { /* "could not tell" */
    nshm__why = (DWORD)e;
    return -ESTALE;
}
/* The error for what GetLastError() says. */
static inline int nshm__failed(void) {
    switch (nshm__why = GetLastError()) {
    case ERROR_FILE_NOT_FOUND: return -ENOENT;
    case ERROR_ALREADY_EXISTS: return -EEXIST;
    case ERROR_ACCESS_DENIED: return -EACCES;
    case ERROR_INVALID_HANDLE: return -EBADMSG; /* of a name: an object of another type has it */
    case ERROR_NOT_ENOUGH_MEMORY:
    case ERROR_OUTOFMEMORY:
    case ERROR_NO_SYSTEM_RESOURCES:
    case ERROR_COMMITMENT_LIMIT: return -ENOMEM;
    case ERROR_PATH_NOT_FOUND:
    case ERROR_INVALID_NAME:
    case ERROR_BAD_PATHNAME: return -EINVAL;
    case ERROR_FILENAME_EXCED_RANGE: return -ENAMETOOLONG;
    case ERROR_CALL_NOT_IMPLEMENTED: return -ENOSYS;
    default: return -EIO;
    }
}

static inline int64_t nshm_now(void) { /* nanoseconds since some beginning, never back */
    LARGE_INTEGER ticks, second;
    QueryPerformanceFrequency(&second);
    QueryPerformanceCounter(&ticks);
    if (second.QuadPart == 10000000) return ticks.QuadPart * 100; /* what today's Windows says */
    return ticks.QuadPart / second.QuadPart * 1000000000 + ticks.QuadPart % second.QuadPart * 1000000000 / second.QuadPart;
}
/* 64 random bits, not 0; -EIO. */
#ifdef __cplusplus
extern "C"
#endif
BOOLEAN NTAPI SystemFunction036(PVOID, ULONG); /* RtlGenRandom, in advapi32 */
static inline int nshm__random(uint64_t *to) {
    do
        if (!SystemFunction036(to, sizeof *to)) return nshm__why = ERROR_GEN_FAILURE, -EIO;
    while (!*to);
    return 0;
}
/* 16 hexadecimal digits, and where they end. */
static inline wchar_t *nshm__hex(wchar_t *to, uint64_t number) {
    for (int shift = 60; shift >= 0; shift -= 4) *to++ = L"0123456789abcdef"[number >> shift & 15];
    return to;
}
static inline wchar_t *nshm__append(wchar_t *to, const wchar_t *text) {
    while ((*to = *text++)) to++;
    return to;
}
#endif
