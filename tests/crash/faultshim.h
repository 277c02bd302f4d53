/* faultshim.h - make the n-th call of a system call fail.
 *
 * It defines the C library's functions anew: included by a program it replaces them there, as a library (faultshim.c) under
 * LD_PRELOAD in any program, Python for one, which reaches fault_arm and the others by ctypes.
 * One fault at a time; calls are counted while armed, by this process alone.
 */
#ifndef FAULTSHIM_H
#define FAULTSHIM_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

enum fault_call { FAULT_SHMGET, FAULT_SHMAT, FAULT_STAT, FAULT_REMOVE, FAULT_INFO, FAULT_SET, FAULT_MUNMAP, FAULT_RANDOM, FAULT_FUTEX, FAULT_ROBUST, FAULT_MADVISE,
                  FAULT_MMAP, FAULT_MREMAP, FAULT_OPEN, FAULT_READ, FAULT_FILE_STAT, FAULT_IOCTL, FAULT_KILL, FAULT_TABLE,
                  FAULT_BY_ID /* shmat, IPC_STAT and looks at the table, from the n-th of them on */, FAULT_CALLS };

static int fault_call_armed = -1, fault_number, fault_errno, fault_seen, fault_hit;
static int fault_id; /* of the segment, or the place in the table, that the failed call was about */

/* From now on count calls of this kind, and let the number-th (from 1; 0: every one) fail with `error`. */
void fault_arm(int call, int number, int error);
/* Stop; returns 1 if the call was made to fail. */
int fault_disarm(void);

void fault_arm(int call, int number, int error) {
    fault_number = number;
    fault_errno = error;
    fault_seen = fault_hit = 0;
    fault_call_armed = call;
}
int fault_disarm(void) {
    fault_call_armed = -1;
    return fault_hit;
}
static int fails(int call) {
    int by_id = fault_call_armed == FAULT_BY_ID && (call == FAULT_SHMAT || call == FAULT_STAT || call == FAULT_INFO);
    if (call != fault_call_armed && !by_id) return 0;
    fault_seen++;
    if (fault_number && (by_id ? fault_seen < fault_number : fault_seen != fault_number)) return 0;
    fault_hit = 1;
    errno = fault_errno;
    return 1;
}
#define REAL(type, name, ...)                                   \
    static type (*real)(__VA_ARGS__);                           \
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, name)

int shmget(key_t key, size_t size, int flags) {
    REAL(int, "shmget", key_t, size_t, int);
    return fails(FAULT_SHMGET) ? -1 : real(key, size, flags);
}
void *shmat(int id, const void *address, int flags) {
    REAL(void *, "shmat", int, const void *, int);
    if (!fault_hit) fault_id = id;
    return fails(FAULT_SHMAT) ? (void *)-1 : real(id, address, flags);
}
int shmctl(int id, int command, struct shmid_ds *d) {
    REAL(int, "shmctl", int, int, struct shmid_ds *);
    int call = command == IPC_STAT ? FAULT_STAT : command == IPC_RMID ? FAULT_REMOVE : command == IPC_SET ? FAULT_SET : command == IPC_INFO ? FAULT_TABLE : FAULT_INFO;
    if (!fault_hit) fault_id = id;
    return fails(call) ? -1 : real(id, command, d);
}
int munmap(void *address, size_t size) {
    REAL(int, "munmap", void *, size_t);
    return fails(FAULT_MUNMAP) ? -1 : real(address, size);
}
int madvise(void *address, size_t size, int advice) {
    REAL(int, "madvise", void *, size_t, int);
    return fails(FAULT_MADVISE) ? -1 : real(address, size, advice);
}
void *mmap(void *address, size_t size, int protection, int flags, int file, off_t offset) {
    REAL(void *, "mmap", void *, size_t, int, int, int, off_t);
    return fails(FAULT_MMAP) ? MAP_FAILED : real(address, size, protection, flags, file, offset);
}
void *mremap(void *old, size_t old_size, size_t size, int flags, ...) {
    REAL(void *, "mremap", void *, size_t, size_t, int, void *);
    va_list list;
    va_start(list, flags);
    void *to = va_arg(list, void *);
    va_end(list);
    return fails(FAULT_MREMAP) ? MAP_FAILED : real(old, old_size, size, flags, to);
}
int open(const char *path, int flags, ...) {
    REAL(int, "open", const char *, int, mode_t);
    va_list list;
    va_start(list, flags);
    mode_t mode = flags & O_CREAT ? (mode_t)va_arg(list, int) : 0;
    va_end(list);
    return fails(FAULT_OPEN) ? -1 : real(path, flags, mode);
}
ssize_t read(int file, void *to, size_t size) {
    REAL(ssize_t, "read", int, void *, size_t);
    return fails(FAULT_READ) ? -1 : real(file, to, size);
}
int stat(const char *path, struct stat *s) {
    REAL(int, "stat", const char *, struct stat *);
    return fails(FAULT_FILE_STAT) ? -1 : real(path, s);
}
int fstat(int file, struct stat *s) {
    REAL(int, "fstat", int, struct stat *);
    return fails(FAULT_FILE_STAT) ? -1 : real(file, s);
}
int ioctl(int file, unsigned long request, ...) {
    REAL(int, "ioctl", int, unsigned long, void *);
    va_list list;
    va_start(list, request);
    void *argument = va_arg(list, void *);
    va_end(list);
    return fails(FAULT_IOCTL) ? -1 : real(file, request, argument);
}
int kill(pid_t pid, int signal) {
    REAL(int, "kill", pid_t, int);
    return fails(FAULT_KILL) ? -1 : real(pid, signal);
}
ssize_t getrandom(void *to, size_t size, unsigned flags) {
    REAL(ssize_t, "getrandom", void *, size_t, unsigned);
    return fails(FAULT_RANDOM) ? -1 : real(to, size, flags);
}
long syscall(long number, ...) {
    REAL(long, "syscall", long, ...);
    long a[6];
    va_list list;
    va_start(list, number);
    for (int i = 0; i < 6; i++) a[i] = va_arg(list, long);
    va_end(list);
    if (number == SYS_futex && fails(FAULT_FUTEX)) return -1;
    if ((number == SYS_get_robust_list || number == SYS_set_robust_list) && fails(FAULT_ROBUST)) return -1;
    return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
#endif
