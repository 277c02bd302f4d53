/* namedshm/queue_make_windows.h - making, opening and closing a queue: on Windows.
 *
 * A queue NAME is these kernel objects, in Local\ or Global\:
 *
 *   section     NAME                       the memory
 *   companion   NAME|namedshm              one page of facts, as every section of this package has it, marked as a queue's: so a queue is
 *                                          not opened as a section, nor a section as a queue, and whoever looks around tells them apart
 *   bells       IDENTITY-BELL|namedshm-bell   three events, named by the queue's 64 random bits: nobody can have them beforehand
 *   lock        NAME|namedshm-lock         a mutex that exists while somebody creates a section or a queue
 *
 * Creating, with the lock: open what is there; else companion with its facts, bells, section, format.  Opening: companion, section, facts,
 * format, bells.  Closing: section, companion, bells.  So whoever holds the section holds all of it; where an opener finds a section
 * and misses something, somebody creates it now, or the last one is just closing it.  Then it takes the lock, which nobody else
 * creates with, and looks again until it is gone.  A creator that was killed half-way leaves nothing, unless an opener holds it; that one
 * lets go when it sees that.
 *
 * Memory is reserved; all but the chunks is committed at once, and a chunk by whoever uses it first (nshm__queue_back).
 *
 * Owns:   nothing is believed that is not the facts' and the format's at once.
 * Needs:  queue_format.h.
 */
#ifndef NAMEDSHM_PART_QUEUE_MAKE_WINDOWS_H
#define NAMEDSHM_PART_QUEUE_MAKE_WINDOWS_H
#include "queue_format.h"
#include <sddl.h>
#include <wchar.h>
#include <wincrypt.h>

/* ------------------------------------------------------------------------------------------------ the companion
 * What its page holds.  `magic` is written last; a reader that does not hold the section looks at magic and identity again. */
typedef struct {
    uint64_t magic; /* 0: nothing */
    uint32_t version, properties;
    uint64_t identity, size;
    int64_t born; /* microseconds since 1970 */
    uint32_t pid, mode;
} nshm_facts;
#define NSHM_FACTS_MAGIC 0x31574d48534d414eULL /* "NAMSHMW1" */
#define NSHM_FACTS_VERSION 1u
enum { NSHM_FACTS_READONLY = 1, NSHM_FACTS_EXECUTABLE = 2, NSHM_FACTS_RESERVED = 4, NSHM_FACTS_FILE = 8, NSHM_FACTS_QUEUE = 16 };
NSHM__ASSERT(sizeof(nshm_facts) == 48, "facts layout");

static inline int nshm__remember(HANDLE companion, const nshm_facts *facts) {
    nshm_facts *page = (nshm_facts *)MapViewOfFile(companion, FILE_MAP_READ | FILE_MAP_WRITE, 0, 0, sizeof *page);
    if (!page) return nshm__failed();
    nshm__poke(&page->magic, 0, SEQ_CST);
    memcpy(&page->version, &facts->version, sizeof *page - offsetof(nshm_facts, version));
    nshm__poke(&page->magic, facts->magic, SEQ_CST);
    UnmapViewOfFile(page);
    return 0;
}
/* By who holds the section.  Its magic is 0 if there are none. */
static inline void nshm__recall(HANDLE companion, nshm_facts *facts) {
    facts->magic = 0;
    const nshm_facts *page = companion ? (const nshm_facts *)MapViewOfFile(companion, FILE_MAP_READ, 0, 0, sizeof *page) : NULL;
    if (!page) return;
    if (nshm__peek(&page->magic, SEQ_CST) == NSHM_FACTS_MAGIC) {
        memcpy(facts, page, sizeof *facts);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        if (nshm__peek(&page->magic, SEQ_CST) != NSHM_FACTS_MAGIC || facts->version != NSHM_FACTS_VERSION) facts->magic = 0;
    }
    UnmapViewOfFile(page);
}

/* ------------------------------------------------------------------------------------------------ names
 * With their prefix.  A companion's must be a name itself: a long one ends in a digest instead of the name. */
#define NSHM_NAMES_ROOM 540
#define NSHM_BESIDE_ROOM 280
typedef struct {
    wchar_t section[NSHM_NAMES_ROOM], companion[NSHM_BESIDE_ROOM], lock[NSHM_BESIDE_ROOM];
} nshm_names;
enum { NSHM__PLAIN = 120, NSHM__LONGEST = 259 }; /* characters */

/* SHA-256, 64 hexadecimal digits: where they end, or NULL. */
static inline wchar_t *nshm__digest(const void *bytes, size_t n, wchar_t *to) {
    HCRYPTPROV provider;
    HCRYPTHASH hash = 0;
    BYTE digest[32];
    DWORD size = sizeof digest;
    if (!CryptAcquireContextW(&provider, NULL, NULL, PROV_RSA_AES, CRYPT_VERIFYCONTEXT)) return NULL;
    int done = CryptCreateHash(provider, CALG_SHA_256, 0, 0, &hash) && CryptHashData(hash, (const BYTE *)bytes, (DWORD)n, 0) &&
               CryptGetHashParam(hash, HP_HASHVAL, digest, &size, 0);
    if (!done) nshm__why = GetLastError();
    if (hash) CryptDestroyHash(hash);
    CryptReleaseContext(provider, 0);
    for (int i = 0; done && i < 32; i++) {
        *to++ = L"0123456789abcdef"[digest[i] >> 4];
        *to++ = L"0123456789abcdef"[digest[i] & 15];
    }
    return done ? to : NULL;
}
/* From n bytes of UTF-8. */
static inline int nshm__names(const nshm_scope *s, const char *name, size_t n, nshm_names *to) {
    size_t characters = 0, first = 0; /* first: bytes of the first 40 */
    if (!n || n > 4 * NSHM__LONGEST) return n ? -ENAMETOOLONG : -EINVAL;
    for (size_t i = 0; i < n; i++) {
        if (!name[i] || name[i] == '\\') return -EINVAL;
        if ((name[i] & 0xc0) == 0x80) continue;
        if (characters++ == 40) first = i;
    }
    if (characters > NSHM__LONGEST) return -ENAMETOOLONG;
    int plain = characters <= NSHM__PLAIN;
    if (plain) first = n;
    wchar_t *at = s->global ? nshm__append(to->section, L"Global\\") : to->section;
    wchar_t *beside = s->global ? nshm__append(to->companion, L"Global\\") : to->companion;
    int whole = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, name, (int)n, at, 2 * NSHM__LONGEST);
    int part = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, name, (int)first, beside, plain ? NSHM__PLAIN * 2 : 80);
    if (!whole || !part) return nshm__why = GetLastError(), -EINVAL;
    at[whole] = 0;
    beside += part;
    if (!plain && !(beside = nshm__digest(name, n, beside))) return -EIO;
    nshm__append(beside, L"|namedshm");
    nshm__append(nshm__append(to->lock, to->companion), L"-lock");
    return 0;
}

/* ------------------------------------------------------------------------------------------------ rights
 * NULL in a descriptor: the user and the system alone. */
typedef struct {
    SECURITY_ATTRIBUTES section, companion, bell, lock;
} nshm_rights;
enum { NSHM__MAY_READ = 0x20005, NSHM__MAY_WRITE = 2, NSHM__MAY_LOOK = 0x20000, NSHM__MAY_RING = 0x120003 };

static inline int nshm__descriptor(SECURITY_ATTRIBUTES *to, const wchar_t *text) {
    to->nLength = sizeof *to;
    to->bInheritHandle = FALSE;
    to->lpSecurityDescriptor = NULL;
    if (text && !ConvertStringSecurityDescriptorToSecurityDescriptorW(text, SDDL_REVISION_1, &to->lpSecurityDescriptor, NULL)) return nshm__failed();
    return 0;
}
/* A user's or group's number as text, LocalFree afterwards; NULL. */
static inline wchar_t *nshm__sid(TOKEN_INFORMATION_CLASS which) {
    char buffer[512] __attribute__((aligned(8)));
    wchar_t *text = NULL;
    HANDLE token;
    DWORD size;
    if (!OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &token)) return NULL;
    if (GetTokenInformation(token, which, buffer, sizeof buffer, &size)) /* of both, the pointer comes first */
        if (!ConvertSidToStringSidW(*(PSID *)(void *)buffer, &text)) text = NULL;
    CloseHandle(token);
    return text;
}
/* "(A;;0xRIGHTS;;;WHO)" for what the bits let somebody do. */
static inline wchar_t *nshm__grant(wchar_t *to, unsigned bits, uint32_t read, uint32_t write, const wchar_t *who) {
    uint32_t rights = (bits & 4 ? read : 0) | (bits & 2 ? write : 0);
    wchar_t digits[17];
    if (!rights) return to;
    *nshm__hex(digits, rights) = 0;
    to = nshm__append(nshm__append(to, L"(A;;0x"), digits + 8);
    return nshm__append(nshm__append(nshm__append(to, L";;;"), who), L")");
}
static inline int nshm__grants(SECURITY_ATTRIBUTES *to, unsigned mode, uint32_t read, uint32_t write, const wchar_t *user, const wchar_t *group) {
    wchar_t text[1024];
    wchar_t *at = nshm__append(nshm__append(nshm__append(text, L"D:(A;;GA;;;SY)(A;;GA;;;"), user), L")");
    nshm__grant(nshm__grant(at, mode >> 3 & 6, read, write, group), mode & 6, read, write, L"WD");
    return nshm__descriptor(to, text);
}
static inline void nshm__rights_release(nshm_rights *r) {
    LocalFree(r->section.lpSecurityDescriptor);
    LocalFree(r->companion.lpSecurityDescriptor);
    LocalFree(r->bell.lpSecurityDescriptor);
    LocalFree(r->lock.lpSecurityDescriptor);
}
/* Who reads the section reads the companion; who writes the section sleeps on the bells and rings them.  Whoever creates waits for the
 * lock, also another user. */
static inline int nshm__rights(unsigned mode, int64_t group, nshm_rights *to) {
    wchar_t text[512];
    int r = 0;
    memset(to, 0, sizeof *to);
    if (group != -1) return -EINVAL; /* groups have no numbers here; group bits are for the process's primary group */
    wchar_t *user = nshm__sid(TokenUser), *own = nshm__sid(TokenPrimaryGroup);
    if (!user || !own) r = nshm__failed();
    else {
        nshm__append(nshm__append(nshm__append(text, L"D:(A;;0x1F0001;;;SY)(A;;0x100001;;;WD)(A;;0x1F0001;;;"), user), L")");
        r = nshm__descriptor(&to->lock, text);
    }
    if (!r && (mode & 066)) {
        if (!(r = nshm__grants(&to->section, mode, NSHM__MAY_READ, NSHM__MAY_WRITE, user, own)) &&
            !(r = nshm__grants(&to->companion, mode, NSHM__MAY_READ, NSHM__MAY_READ, user, own)))
            r = nshm__grants(&to->bell, mode, NSHM__MAY_LOOK, NSHM__MAY_RING, user, own);
    } else if (!r) {
        nshm__descriptor(&to->section, NULL);
        nshm__descriptor(&to->companion, NULL);
        nshm__descriptor(&to->bell, NULL);
    }
    LocalFree(user);
    LocalFree(own);
    if (r) nshm__rights_release(to);
    return r;
}

/* ------------------------------------------------------------------------------------------------ handles */
static inline void nshm__bell_name(wchar_t *to, const nshm_scope *s, uint64_t identity, int which) { /* of 64 */
    static const wchar_t *const names[3] = {L"-messages", L"-room", L"-chunks"};
    if (s->global) to = nshm__append(to, L"Global\\");
    nshm__append(nshm__append(nshm__hex(to, identity), names[which]), L"|namedshm-bell");
}
static inline void nshm__let_go(nshm_handle *h) {
    if (h->data) UnmapViewOfFile(h->data);
    if (h->section) CloseHandle(h->section);
    if (h->companion) CloseHandle(h->companion);
    for (int i = 0; i < 3; i++)
        if (h->bell[i]) CloseHandle(h->bell[i]);
    free(h->committed);
    h->committed = NULL;
    h->data = h->section = h->companion = h->bell[0] = h->bell[1] = h->bell[2] = NULL;
}
/* The name goes now, the memory with the view: for a handle that is closed while others are in. */
static inline void nshm__close_name(nshm_handle *h) {
    CloseHandle(h->section);
    CloseHandle(h->companion);
    h->section = h->companion = NULL;
}
/* All of the section, writable or not. */
static inline int nshm__view(nshm_handle *h) {
    h->data = MapViewOfFile(h->section, FILE_MAP_READ | (h->readonly ? 0 : FILE_MAP_WRITE), 0, 0, 0);
    return h->data ? 0 : nshm__failed();
}
/* Have the first n bytes memory?  What has it never loses it while it is mapped; to touch what has none would end this process. */
static inline int nshm__has_memory(const nshm_handle *h, uint64_t n) {
    const char *at = (const char *)h->data;
    MEMORY_BASIC_INFORMATION region;
    for (uint64_t done = 0; done < n; done += region.RegionSize)
        if (!VirtualQuery(at + done, &region, sizeof region) || region.State != MEM_COMMIT || !region.RegionSize) return 0;
    return 1;
}
static inline int nshm__bells_open(nshm_handle *h) {
    wchar_t name[64];
    for (int i = 0; i < 3; i++) {
        nshm__bell_name(name, h->scope, h->nonce, i);
        h->bell[i] = OpenEventW(h->readonly ? READ_CONTROL : SYNCHRONIZE | EVENT_MODIFY_STATE, FALSE, name);
        if (!h->bell[i]) return nshm__failed();
    }
    return 0;
}
typedef struct {
    void *base;
    ULONG attributes;
    int64_t size;
} nshm__section_facts; /* SECTION_BASIC_INFORMATION */
#ifdef __cplusplus
extern "C"
#endif
LONG NTAPI NtQuerySection(HANDLE, ULONG, void *, SIZE_T, SIZE_T *);

/* What has that name, if it is a whole queue.  -EAGAIN: something is missing, as while it is made, or let go of; else nshm__failed. */
static inline int nshm__find(const nshm_names *names, nshm_handle *h) {
    DWORD rights = SECTION_QUERY | FILE_MAP_READ | (h->readonly ? 0 : FILE_MAP_WRITE);
    nshm__section_facts section;
    nshm_facts facts;
    int r = 0;
    h->companion = OpenFileMappingW(FILE_MAP_READ, FALSE, names->companion);
    h->section = OpenFileMappingW(rights, FALSE, names->section);
    if (!h->section) r = nshm__failed();
    else {
        nshm__recall(h->companion, &facts);
        if (!facts.magic) r = -EAGAIN;
        else if (!(facts.properties & NSHM_FACTS_QUEUE)) r = -EBADMSG;
        else if (!(r = nshm__view(h))) {
            h->nonce = facts.identity;
            h->size = facts.size;
            if (NtQuerySection(h->section, 0, &section, sizeof section, NULL) < 0 || (uint64_t)section.size < h->size || h->size < sizeof(nshm_queue_head))
                r = -EUCLEAN;
            else if (!nshm__has_memory(h, sizeof(nshm_queue_head)) || !nshm__peek(&((nshm_queue_head *)h->data)->magic, ACQUIRE)) r = -EAGAIN;
            else if ((r = nshm__bells_open(h)) == -ENOENT) r = -EAGAIN;
        }
    }
    if (r) nshm__let_go(h);
    return r;
}
enum { NSHM__LOCK_PATIENCE = 10000, NSHM__GOING_PATIENCE = 200 }; /* milliseconds: see the creation lock; for who is letting go */

static inline int nshm__creation_lock(const nshm_names *names, nshm_rights *rights, HANDLE *lock) {
    DWORD state;
    *lock = CreateMutexExW(&rights->lock, names->lock, 0, SYNCHRONIZE | MUTEX_MODIFY_STATE);
    if (!*lock) return nshm__failed();
    state = WaitForSingleObject(*lock, NSHM__LOCK_PATIENCE);
    if (state == WAIT_OBJECT_0 || state == WAIT_ABANDONED) return 0; /* abandoned: a creator was killed, and we look at what it left */
    nshm__why = state == WAIT_TIMEOUT ? ERROR_TIMEOUT : GetLastError();
    CloseHandle(*lock);
    return state == WAIT_TIMEOUT ? -ETIMEDOUT : -EIO;
}
static inline void nshm__creation_unlock(HANDLE lock) {
    ReleaseMutex(lock);
    CloseHandle(lock);
}
/* With the creation lock: as nshm__find, but what is incomplete stays away, and what has no facts for long is a plain program's. */
static inline int nshm__find_settled(const nshm_names *names, nshm_handle *h) {
    int r;
    for (int i = 0; (r = nshm__find(names, h)) == -EAGAIN && i < NSHM__GOING_PATIENCE; i++) Sleep(1);
    return r == -EAGAIN ? -EBADMSG : r;
}

/* Make the companion, or take over one whose section is gone. */
static inline int nshm__companion_make(const nshm_names *names, nshm_rights *rights, nshm_handle *h) {
    HANDLE other;
    for (int i = 0;; i++) {
        h->companion = CreateFileMappingW(INVALID_HANDLE_VALUE, &rights->companion, PAGE_READWRITE, 0, 4096, names->companion);
        if (h->companion && GetLastError() == ERROR_ALREADY_EXISTS && rights->companion.lpSecurityDescriptor)
            SetKernelObjectSecurity(h->companion, DACL_SECURITY_INFORMATION, rights->companion.lpSecurityDescriptor); /* a left one has the rights of its time */
        if (h->companion) return 0;
        if (GetLastError() != ERROR_ACCESS_DENIED || i == NSHM__GOING_PATIENCE) return nshm__failed();
        /* Denied by the namespace, or by another user's companion that is about to go? */
        other = OpenFileMappingW(FILE_MAP_READ, FALSE, names->companion);
        if (other) CloseHandle(other);
        else if (GetLastError() == ERROR_FILE_NOT_FOUND) return nshm__why = ERROR_ACCESS_DENIED, -EPERM;
        Sleep(1);
    }
}
static inline int nshm__bells_make(nshm_rights *rights, nshm_handle *h) {
    wchar_t name[64];
    for (int i = 0; i < 3; i++) {
        nshm__bell_name(name, h->scope, h->nonce, i);
        h->bell[i] = CreateEventExW(&rights->bell, name, 0, SYNCHRONIZE | EVENT_MODIFY_STATE);
        if (!h->bell[i] || GetLastError() == ERROR_ALREADY_EXISTS) return nshm__failed(); /* somebody has that random number: -EEXIST */
    }
    return 0;
}
/* What every operation touches is committed, and has its pages before one needs them under a lock. */
static inline int nshm__queue_populate(char *from, uint64_t n) {
    if (!VirtualAlloc(from, nshm_page_round(n), MEM_COMMIT, PAGE_READWRITE)) return nshm__failed();
    for (uint64_t at = 0; at < n; at += 4096) __atomic_fetch_or((uint32_t *)(void *)(from + at), 0, __ATOMIC_RELAXED);
    return 0;
}
/* With the creation lock, and when there is nothing of that name. */
static inline int nshm__queue_make(const nshm_names *names, nshm_rights *rights, unsigned mode, const nshm_queue_start *start, nshm_handle *h) {
    nshm_queue_offsets o;
    nshm_facts facts;
    FILETIME now;
    int r = nshm__queue_layout(start, &o);
    if (r || (r = nshm__random(&h->nonce))) return r;
    GetSystemTimeAsFileTime(&now);
    memset(&facts, 0, sizeof facts);
    facts.magic = NSHM_FACTS_MAGIC;
    facts.version = NSHM_FACTS_VERSION;
    facts.properties = NSHM_FACTS_QUEUE;
    facts.identity = h->nonce;
    facts.size = h->size = o.size;
    facts.born = ((int64_t)((uint64_t)now.dwHighDateTime << 32 | now.dwLowDateTime) - 116444736000000000) / 10;
    facts.pid = GetCurrentProcessId();
    facts.mode = mode;
    if ((r = nshm__companion_make(names, rights, h)) || (r = nshm__remember(h->companion, &facts)) || (r = nshm__bells_make(rights, h))) return r;
    h->section = CreateFileMappingW(INVALID_HANDLE_VALUE, &rights->section, PAGE_READWRITE | (start->chunks ? SEC_RESERVE : SEC_COMMIT), (DWORD)(o.size >> 32),
                                    (DWORD)o.size, names->section);
    if (h->section && GetLastError() != ERROR_ALREADY_EXISTS) {
        if ((r = nshm__view(h)) || (r = nshm__queue_populate((char *)h->data, o.slots + (uint64_t)start->capacity * o.stride))) return r;
        nshm__queue_format(h->data, start, &o);
        h->created = 1;
        return 0;
    }
    r = h->section ? -EEXIST : nshm__failed(); /* a plain program, which takes no lock, was faster; or it cannot be */
    facts.magic = 0;
    nshm__remember(h->companion, &facts); /* these facts belong to nothing */
    return r;
}

static inline void nshm__handle_begin(nshm_scope *s, int flags, nshm_handle *h) {
    memset(h, 0, sizeof *h);
    h->scope = h->place = s;
    h->readonly = flags & NSHM_READONLY;
}
static inline int nshm__queue_begin(nshm_queue *q) {
    int r;
    q->scratch = NULL;
    if (!(r = nshm__queue_attach(q, q->handle.data, q->handle.size))) {
        if (!nshm__has_memory(&q->handle, (uint64_t)(q->slots - (char *)q->head) + (uint64_t)q->capacity * q->stride)) r = -EUCLEAN;
        else if (!(q->handle.committed = (unsigned char *)calloc(1, q->chunks + 1))) r = -ENOMEM;
    }
    if (r) {
        free(q->scratch);
        nshm__let_go(&q->handle);
        return r;
    }
    nshm__queue_known(&q->handle);
    return 0;
}
/* For callers who have names and rights of their own. */
static inline int nshm__queue_create_named(nshm_scope *s, const nshm_names *names, nshm_rights *rights, unsigned mode, int flags,
                                           const nshm_queue_start *start, nshm_queue *q) {
    nshm_handle *h = &q->handle;
    nshm_queue_offsets o;
    HANDLE lock;
    int r = nshm__queue_layout(start, &o);
    nshm__handle_begin(s, flags, h);
    if (r || h->readonly) return -EINVAL;
    if ((r = nshm__creation_lock(names, rights, &lock))) return r;
    r = nshm__find_settled(names, h);
    if ((!r || r == -EACCES) && (flags & NSHM_EXCLUSIVE)) {
        nshm__let_go(h);
        r = -EEXIST;
    } else if (r == -ENOENT && (r = nshm__queue_make(names, rights, mode, start, h))) nshm__let_go(h);
    nshm__creation_unlock(lock);
    return r ? r : nshm__queue_begin(q);
}
static inline int nshm__queue_open_named(nshm_scope *s, const nshm_names *names, nshm_rights *rights, int flags, nshm_queue *q) {
    HANDLE lock;
    nshm__handle_begin(s, flags, &q->handle);
    int r = nshm__find(names, &q->handle);
    if (r == -EAGAIN && !(r = nshm__creation_lock(names, rights, &lock))) {
        r = nshm__find_settled(names, &q->handle);
        nshm__creation_unlock(lock);
    }
    return r ? r : nshm__queue_begin(q);
}

static inline int nshm_queue_create(nshm_scope *s, const char *name, size_t n, unsigned mode, int64_t group, int flags,
                                    const nshm_queue_start *start, nshm_queue *q) {
    nshm_names names;
    nshm_rights rights;
    int r = nshm__names(s, name, n, &names);
    if (r || (r = nshm__rights(mode, group, &rights))) return r;
    r = nshm__queue_create_named(s, &names, &rights, mode, flags, start, q);
    nshm__rights_release(&rights);
    return r;
}
static inline int nshm_queue_open(nshm_scope *s, const char *name, size_t n, int flags, nshm_queue *q) {
    nshm_names names;
    nshm_rights rights;
    int r = nshm__names(s, name, n, &names);
    if (r || (r = nshm__rights(0600, -1, &rights))) return r;
    r = nshm__queue_open_named(s, &names, &rights, flags, q);
    nshm__rights_release(&rights);
    return r;
}
static inline void nshm_queue_close(nshm_queue *q) {
    nshm__queue_leave(q);
    free(q->scratch);
    q->scratch = NULL;
    nshm__queue_forgotten(&q->handle);
    nshm__let_go(&q->handle);
}
#endif
