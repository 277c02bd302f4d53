/* programs.h - what the programs of this directory share: a queue with a name of its own, other processes, and steps to die at.
 *
 * A program starts itself again for another process: PROGRAM child ROLE NUMBER NAME.  ROLE is one of `roles`, which it defines.
 */
#ifndef QUEUE_PROGRAMS_H
#define QUEUE_PROGRAMS_H
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

static void at_step(const char *what);
#ifndef NSHM_STEP
#define NSHM_STEP(what) at_step(what)
#endif
#include "namedshm_queue.h"

enum { CAUGHT = 1, BROKEN = 2, KILLED = 9 };
enum { PATIENCE = 20000 }; /* milliseconds for what another process does at once */

static __attribute__((noreturn, format(printf, 1, 2))) void broken(const char *format, ...) {
    va_list list;
    va_start(list, format);
    fprintf(stderr, "test broken: ");
    vfprintf(stderr, format, list);
    fprintf(stderr, " (error %lu)\n", GetLastError());
    exit(BROKEN);
}
#define must(condition)                                                                                            \
    do {                                                                                                           \
        if (!(condition)) {                                                                                        \
            fprintf(stderr, "%s, line %d: %s (why %d, step %d)\n", running, __LINE__, #condition, nshm_why(), deadly); \
            exit(CAUGHT);                                                                                          \
        }                                                                                                          \
    } while (0)

static const char *running = "start";
static int countdown, deadly; /* steps until this process ends itself, 0: never; and what a child was told */
static void (*before_death)(void);
static void die(void) {
    if (before_death) before_death();
    TerminateProcess(GetCurrentProcess(), KILLED);
    Sleep(INFINITE);
}
static void at_step(const char *what) {
    (void)what;
    if (countdown && !--countdown) die();
}

/* ------------------------------------------------------------------------------------------------ queues */
static nshm_scope scope;
static char name[64];

static inline nshm_queue_start starting(uint32_t capacity, uint32_t inline_max, uint32_t chunks, uint32_t mode, uint64_t message_max) {
    nshm_queue_start s = {capacity, inline_max, chunks, 8, mode, message_max};
    return s;
}
static inline void new_name(void) {
    static int number;
    snprintf(name, sizeof name, "queue-%lu-%d", GetCurrentProcessId(), number++);
}
static inline void open_queue(nshm_queue *q) {
    int r = nshm_queue_open(&scope, name, strlen(name), 0, q);
    if (r) broken("open %s: %d", name, r);
    q->spin = 0;
}

/* ------------------------------------------------------------------------------------------------ other processes */
typedef struct {
    const char *name;
    void (*act)(int number);
} role;
extern const role roles[];

static inline HANDLE child(const char *what, int number) {
    wchar_t path[MAX_PATH], command[MAX_PATH + 200];
    STARTUPINFOW start;
    PROCESS_INFORMATION made;
    memset(&start, 0, sizeof start);
    start.cb = sizeof start;
    GetModuleFileNameW(NULL, path, MAX_PATH);
    _snwprintf(command, sizeof command / sizeof *command, L"\"%ls\" child %hs %d %hs", path, what, number, name);
    deadly = number;
    for (int tries = 0; !CreateProcessW(path, command, NULL, NULL, TRUE, 0, NULL, NULL, &start, &made); tries++)
        if (GetLastError() != ERROR_INTERNAL_ERROR || tries == 5) broken("start %s", what); /* under Wine: of some thousand starts, one */
    CloseHandle(made.hThread);
    return made.hProcess;
}
static inline int ended(HANDLE process) { /* the exit status */
    DWORD status = BROKEN;
    if (WaitForSingleObject(process, PATIENCE)) {
        fprintf(stderr, "%s: a child does not end\n", running);
        TerminateProcess(process, BROKEN);
        exit(CAUGHT);
    }
    GetExitCodeProcess(process, &status);
    CloseHandle(process);
    return (int)status;
}
/* If this process is such a child, act and end. */
static inline void be_a_child(int argc, char **argv) {
    nshm_scope_init(&scope, NSHM_LOCAL, NULL, -1, 1);
    if (argc < 5 || strcmp(argv[1], "child")) return;
    running = argv[2];
    snprintf(name, sizeof name, "%s", argv[4]);
    for (const role *r = roles; r->name; r++)
        if (!strcmp(r->name, argv[2])) {
            r->act(atoi(argv[3]));
            exit(0);
        }
    broken("no such role");
}
static inline void until_sleeping(const uint32_t *lock) { /* somebody armed the word */
    for (int i = 0; !(nshm__peek(lock, SEQ_CST) & NSHM__SLEEPERS); i++) {
        if (i > PATIENCE) broken("nobody goes to sleep");
        Sleep(1);
    }
}
#endif
