/* common.h - what the crash tests share: a world of their own, the kernel's list of segments, random numbers.
 *
 * Include it before namedshm.h where a test defines NSHM_STEP.
 */
#ifndef CRASH_COMMON_H
#define CRASH_COMMON_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Exit status: 0 all well, 1 the protocol was caught at something, 2 the test itself could not run. */
enum { CAUGHT = 1, BROKEN = 2 };

static inline void __attribute__((noreturn, format(printf, 1, 2))) broken(const char *format, ...) {
    va_list list;
    int e = errno;
    va_start(list, format);
    fprintf(stderr, "test broken: ");
    vfprintf(stderr, format, list);
    fprintf(stderr, " (errno %d %s)\n", e, strerror(e));
    exit(BROKEN);
}

/* ------------------------------------------------------------------------------------------------ random numbers */
static uint64_t random_state = 88172645463325252ULL;
static inline uint64_t random_word(void) { /* xorshift64 */
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}
static inline uint32_t below(uint32_t limit) { return (uint32_t)((random_word() >> 16) % limit); }
static inline void stir(uint64_t salt) {
    random_state ^= (salt + 1) * 0x9e3779b97f4a7c15ULL;
    if (!random_state) random_state = 1;
    for (int i = 0; i < 4; i++) random_word();
}

static inline double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ------------------------------------------------------------------------------------------------ a world of our own
 * Where the kernel lets us, the test runs in new IPC and PID namespaces: every segment there is ours, pids are ours, and the
 * death of its first process ends all others.  Elsewhere segments are told apart by the pids that made them. */
static int isolated;
static _Atomic unsigned char *known_pids; /* a bitmap shared by all processes of the test; NULL when isolated */
enum { PID_LIMIT = 4194304 };

static inline void *shared_memory(size_t size) {
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) broken("mmap of %zu shared bytes", size);
    return p;
}
static inline void write_text(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return;
    if (write(fd, text, strlen(text)) < 0) perror(path);
    close(fd);
}
static inline void know_pid(pid_t pid) {
    if (known_pids && pid > 0 && pid < PID_LIMIT) atomic_fetch_or(&known_pids[pid / 8], (unsigned char)(1 << pid % 8));
}
static inline int pid_known(pid_t pid) {
    return isolated || (pid > 0 && pid < PID_LIMIT && (known_pids[pid / 8] >> (pid % 8) & 1));
}

static inline void remember_earlier_segments(void);

/* Call it first in main.  Returns in the process that is to run the test; its parent passes the exit status on. */
static inline void enter_own_world(void) {
    char map[64];
    unsigned uid = geteuid(), gid = getegid();
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!getenv("NSHM_TEST_NO_NAMESPACE")) {
        isolated = !unshare(CLONE_NEWIPC | CLONE_NEWPID);
        if (!isolated && !unshare(CLONE_NEWUSER | CLONE_NEWIPC | CLONE_NEWPID)) {
            isolated = 1;
            write_text("/proc/self/setgroups", "deny");
            snprintf(map, sizeof map, "%u %u 1", uid, uid);
            write_text("/proc/self/uid_map", map);
            snprintf(map, sizeof map, "%u %u 1", gid, gid);
            write_text("/proc/self/gid_map", map);
        }
    }
    if (!isolated) {
        known_pids = shared_memory(PID_LIMIT / 8);
        prctl(PR_SET_CHILD_SUBREAPER, 1);
        know_pid(getpid());
        remember_earlier_segments();
        return;
    }
    pid_t inner = fork();
    if (inner < 0) broken("fork of the first process");
    if (inner) {
        int status;
        while (waitpid(inner, &status, 0) < 0)
            if (errno != EINTR) broken("wait for the first process");
        exit(WIFEXITED(status) ? WEXITSTATUS(status) : BROKEN);
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
}

/* fork, and tell the world about the child before it can make a segment */
static inline pid_t fork_known(void) {
    pid_t pid = fork();
    if (!pid) know_pid(getpid());
    return pid;
}
static inline pid_t fork_unasked(void) { /* no atfork handler runs, neither here nor there */
    pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (!pid) know_pid((int)syscall(SYS_getpid));
    return pid;
}

/* ------------------------------------------------------------------------------------------------ the kernel's segments */
typedef struct {
    long key;
    int id;
    unsigned mode;
    size_t size;
    int creator;
    long attached;
    size_t resident;
} segment;

enum { OWNER_EXECUTE_MARK = 0100 };

/* Where others work too: what was there before us is not ours, even if a pid of ours is its creator's again. */
static int *earlier_ids;
static int earlier_count;
static inline int was_there_before(int id) {
    for (int i = 0; i < earlier_count; i++)
        if (earlier_ids[i] == id) return 1;
    return 0;
}

/* The segments of this test that exist now; the count may exceed `room`. */
static inline int own_segments(segment *list, int room) {
    char line[512];
    int count = 0;
    FILE *f = fopen("/proc/sysvipc/shm", "r");
    if (!f) broken("/proc/sysvipc/shm");
    while (fgets(line, sizeof line, f)) {
        segment s;
        unsigned uid, gid, cuid, cgid, last;
        unsigned long atime, dtime, ctime_;
        if (sscanf(line, "%ld %d %o %zu %d %u %ld %u %u %u %u %lu %lu %lu %zu", &s.key, &s.id, &s.mode, &s.size, &s.creator, &last,
                   &s.attached, &uid, &gid, &cuid, &cgid, &atime, &dtime, &ctime_, &s.resident) != 15)
            continue; /* the heading */
        if (cuid != geteuid() || !(s.mode & OWNER_EXECUTE_MARK) || !pid_known(s.creator) || was_there_before(s.id)) continue;
        if (count < room) list[count] = s;
        count++;
    }
    fclose(f);
    return count;
}

static inline void remember_earlier_segments(void) {
    char line[512];
    FILE *f = fopen("/proc/sysvipc/shm", "r");
    if (!f) broken("/proc/sysvipc/shm");
    while (fgets(line, sizeof line, f)) {
        int id;
        if (sscanf(line, "%*d %d", &id) != 1) continue;
        earlier_ids = realloc(earlier_ids, (size_t)(earlier_count + 1) * sizeof *earlier_ids);
        if (!earlier_ids) broken("memory");
        earlier_ids[earlier_count++] = id;
    }
    fclose(f);
}

/* What was left behind: segments nobody has attached. */
typedef struct {
    int keyed;      /* made under the scope's key: at most one, empty, removed by the next creator */
    int candidates; /* a registry that never ripened: removed by the next scan */
    int strays;     /* anything else: never allowed */
    int attached;   /* still attached by somebody */
    size_t resident; /* bytes in the first two and the strays: must be 0 */
} leftovers;

/* A registry has `registry_size` bytes and up to `span` more. */
static inline leftovers find_leftovers(size_t registry_size, size_t span) {
    segment list[4200];
    leftovers found = {0, 0, 0, 0, 0};
    int n = own_segments(list, 4200);
    for (int i = 0; i < n && i < 4200; i++) {
        if (list[i].attached) {
            found.attached++;
            continue;
        }
        found.resident += list[i].resident;
        if (list[i].key) found.keyed++;
        else if (list[i].size >= registry_size && list[i].size < registry_size + span) found.candidates++;
        else found.strays++;
    }
    return found;
}
static inline void show_segments(void) {
    segment list[64];
    int n = own_segments(list, 64);
    for (int i = 0; i < n && i < 64; i++)
        fprintf(stderr, "    segment %d key %lx mode %o size %zu creator %d attached %ld resident %zu\n", list[i].id, list[i].key,
                list[i].mode, list[i].size, list[i].creator, list[i].attached, list[i].resident);
}
#endif
