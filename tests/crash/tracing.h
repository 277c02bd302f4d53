/* tracing.h - what the steppers share: leading another process from stop to stop with ptrace(2). */
#ifndef CRASH_TRACING_H
#define CRASH_TRACING_H
#include "common.h"
#include <elf.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>

enum { NOT_TRACED = 77 }; /* exit status: ptrace is not permitted here */

static inline void end_process(pid_t *pid) {
    int status = 0;
    if (*pid <= 0) return;
    kill(*pid, SIGKILL);
    while (waitpid(*pid, &status, __WALL) < 0 ? errno == EINTR : WIFSTOPPED(status)) {} /* a traced one may report a stop first */
    *pid = 0;
}
/* The stop signal, or -1 when it is gone. */
static inline int next_stop(pid_t *traced) {
    int status;
    while (waitpid(*traced, &status, __WALL) < 0)
        if (errno != EINTR) return -1;
    if (WIFSTOPPED(status)) return WSTOPSIG(status);
    *traced = 0;
    return -1;
}
/* Is it the end of a single step, or a system call's entry or exit? */
static inline int is_step(int stop) { return stop == SIGTRAP || stop == (SIGTRAP | 0x80); }

static inline unsigned long instruction_pointer(pid_t traced) {
    struct user_regs_struct registers;
    struct iovec io = {&registers, sizeof registers};
    if (ptrace(PTRACE_GETREGSET, traced, (void *)NT_PRSTATUS, &io)) return 0;
#if defined __x86_64__
    return registers.rip;
#elif defined __aarch64__
    return registers.pc;
#else
#error "say where the instruction pointer is, and what a system call looks like"
#endif
}
static inline int at_system_call(pid_t traced, unsigned long ip) {
    errno = 0;
    long word = ptrace(PTRACE_PEEKTEXT, traced, (void *)ip, NULL);
#if defined __x86_64__
    return !errno && (word & 0xffff) == 0x050f;
#else
    return !errno && (word & 0xffffffff) == 0xd4000001;
#endif
}
#endif
