/* namedshm/queue_life_windows.h - a process's proof of life, and whether others live: on Windows.
 *
 * A process that takes part in a queue has a number of 64 random bits that no other process ever has, and holds the only handle to an
 * event whose name is made of it.  The kernel ends all threads of a process before it closes its handles.  So where there is no
 * such event any more, the process does nothing more, and what it published is published.
 *
 * Owns:   death is proved, never guessed: "no object has that name" proves it, and no other answer of the kernel does.  Nobody can use a
 *         number again; who may make objects in the namespace can make a dead process's event, and so keep what it held from the others.
 *         The number and the event stay until the process ends.
 *         Local\ and Global\ each have an event, named differently: in session 0 they are one directory.
 * Needs:  queue_types.h.
 */
#ifndef NAMEDSHM_PART_QUEUE_LIFE_WINDOWS_H
#define NAMEDSHM_PART_QUEUE_LIFE_WINDOWS_H
#include "queue_types.h"

struct nshm__life {
    HANDLE event;
};
static nshm__life nshm__lives_here[2]; /* by nshm_scope.global */
static uint64_t nshm__number;          /* of this process; even: the lowest bit has another meaning in a lock.  0: none so far */
static SRWLOCK nshm__life_lock = SRWLOCK_INIT;
static uint32_t nshm__forks; /* there is no fork */

static inline void nshm__life_name(wchar_t *to, int global, uint64_t number) { /* of 48 */
    if (global) to = nshm__append(to, L"Global\\");
    nshm__append(nshm__hex(to, number), global ? L"|namedshm-life-global" : L"|namedshm-life");
}
/* 0; -EEXIST: somebody has that name. */
static inline int nshm__life_make(int global, uint64_t number) {
    wchar_t name[48];
    nshm__life_name(name, global, number);
    HANDLE event = CreateEventExW(NULL, name, CREATE_EVENT_MANUAL_RESET, SYNCHRONIZE);
    if (!event) return nshm__failed();
    if (GetLastError() == ERROR_ALREADY_EXISTS) {
        CloseHandle(event);
        return -EEXIST;
    }
    nshm__lives_here[global].event = event;
    return 0;
}
static inline int nshm__life_make_both(void) {
    uint64_t number;
    int r;
    do {
        if ((r = nshm__random(&number))) return r;
        if (nshm__lives_here[0].event) CloseHandle(nshm__lives_here[0].event);
        nshm__lives_here[0].event = NULL;
        if ((number &= ~1ull) && !(r = nshm__life_make(0, number))) r = nshm__life_make(1, number);
        else if (!number) r = -EEXIST;
    } while (r == -EEXIST);
    if (!nshm__lives_here[0].event) return r;
    nshm__poke(&nshm__number, number, RELEASE); /* without the right to make the other, no queue in Global\ can be used */
    return 0;
}
static inline int nshm__life_begin(nshm_place *p, nshm__life **life) {
    int r = 0;
    if (!nshm__peek(&nshm__number, ACQUIRE)) {
        AcquireSRWLockExclusive(&nshm__life_lock);
        if (!nshm__number) r = nshm__life_make_both();
        ReleaseSRWLockExclusive(&nshm__life_lock);
    }
    *life = &nshm__lives_here[p->global];
    return r ? r : (*life)->event ? 0 : -EACCES;
}
static inline void nshm__life_end(nshm__life *life) { (void)life; }

/* Does the process of this number live?  1; 0: it is dead; negative: could not tell. */
static inline int nshm__life_of(int global, uint64_t number) {
    wchar_t name[48];
    nshm__life_name(name, global, number);
    HANDLE event = OpenEventW(SYNCHRONIZE, FALSE, name);
    if (event) {
        CloseHandle(event);
        return 1;
    }
    DWORD error = GetLastError();
    return error == ERROR_FILE_NOT_FOUND ? 0 : error == ERROR_ACCESS_DENIED ? 1 : nshm__unsure((int)error);
}

/* Under the get lock: the number goes into our entry, before its word does. */
static inline void nshm__life_enter(const nshm_queue *q, nshm_queue_entry *e) {
    (void)q;
    nshm__poke(&e->token, (int32_t)nshm__number, RELAXED);
    nshm__poke(&e->token_size, (uint32_t)(nshm__number >> 32), RELAXED);
    nshm__poke(&e->maker, 0, RELAXED);
    nshm__poke(&e->pid, (int32_t)GetCurrentProcessId(), RELAXED);
}
static inline int nshm__queue_lives(const nshm_queue *q, const nshm_queue_entry *e) {
    uint64_t low = (uint32_t)nshm__peek(&e->token, RELAXED), high = nshm__peek(&e->token_size, RELAXED);
    return nshm__life_of(q->handle.place->global, high << 32 | low);
}
/* A queue that is open is in the directory that its names lead to; both stay with the session. */
static inline int nshm__queue_may_tell(const nshm_queue *q) {
    (void)q;
    return 1;
}
#endif
