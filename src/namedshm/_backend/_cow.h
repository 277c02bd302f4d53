/* _cow.h - copy-on-write views of System V segments.
 *
 * Windows' FILE_MAP_COPY: reads see the section, the first own write to a page makes that page private.  mmap(2) would do this
 * with MAP_PRIVATE, but a System V segment can only be attached shared.  Two ways, the first that works:
 *
 *   kernel   A process with CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN may open its own attachment through /proc/self/map_files and
 *            map that file MAP_PRIVATE: the kernel's own copy-on-write.
 *   fault    Everybody else: the segment is attached read-only; a write faults, and the SIGSEGV handler puts a private copy of
 *            that one page in its place (mremap(2) replaces it atomically) and lets the write go on.
 *
 * Limits of the fault way, documented in docs/limits.md: a system call that writes into a page not yet private (readinto on it)
 * fails with EFAULT instead of faulting; each private page costs up to two of the process's 65,530 mappings, so all such views
 * together are limited to NSHM_COW_PAGES; a SIGSEGV handler installed later (faulthandler.enable() after map()) must chain.
 */
#ifndef NAMEDSHM_COW_H
#define NAMEDSHM_COW_H
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>

#define NSHM_COW_REGIONS 1024
#define NSHM_COW_PAGES 24576 /* 96 MiB: half of vm.max_map_count's default, and room for everybody else */

/* Changed under the lock only.  The handler runs with all signals blocked, so its thread cannot meet its own lock, and it never
 * faults while holding it: the pages it touches are mapped. */
typedef struct {
    char *start;
    size_t pages;
    unsigned char *own; /* one byte a page: already private.  Without it, two threads faulting on one page would copy twice and
                           the second copy would undo the first thread's writes. */
} nshm__cow_region;

static nshm__cow_region nshm__cow[NSHM_COW_REGIONS];
static size_t nshm__cow_total;
static int nshm__cow_lock;
static struct sigaction nshm__cow_before;
static int nshm__cow_installed;

static void nshm__cow_enter(void) {
    while (__atomic_exchange_n(&nshm__cow_lock, 1, __ATOMIC_ACQUIRE)) sched_yield();
}
static void nshm__cow_leave(void) { __atomic_store_n(&nshm__cow_lock, 0, __ATOMIC_RELEASE); }
static void nshm__cow_child(void) { nshm__cow_leave(); } /* the thread that held it does not exist in the child */

static int nshm__cow_fault(char *address) {
    int done = 0;
    nshm__cow_enter();
    for (int i = 0; i < NSHM_COW_REGIONS; i++) {
        nshm__cow_region *r = &nshm__cow[i];
        if (!r->start || address < r->start || address >= r->start + r->pages * 4096) continue;
        size_t page = (size_t)(address - r->start) / 4096;
        done = r->own[page];
        if (!done) {
            char *at = r->start + page * 4096;
            char *copy = (char *)mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (copy != (char *)MAP_FAILED) {
                memcpy(copy, at, 4096);
                done = mremap(copy, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, at) == (void *)at;
                if (!done) munmap(copy, 4096);
            }
            r->own[page] = (unsigned char)done;
        }
        break;
    }
    nshm__cow_leave();
    return done;
}
static void nshm__cow_handler(int number, siginfo_t *info, void *context) {
    int saved = errno;
    if (info->si_code == SEGV_ACCERR && nshm__cow_fault((char *)info->si_addr)) {
        errno = saved;
        return;
    }
    errno = saved;
    if (nshm__cow_before.sa_flags & SA_SIGINFO) nshm__cow_before.sa_sigaction(number, info, context);
    else if (nshm__cow_before.sa_handler == SIG_DFL || nshm__cow_before.sa_handler == SIG_IGN) {
        signal(number, SIG_DFL); /* the fault happens again on return and ends the process as it should */
    } else nshm__cow_before.sa_handler(number);
}
static int nshm__cow_install(void) {
    struct sigaction mine, now;
    if (sigaction(SIGSEGV, NULL, &now)) return -errno;
    if ((now.sa_flags & SA_SIGINFO) && now.sa_sigaction == nshm__cow_handler) return 0;
    memset(&mine, 0, sizeof mine);
    mine.sa_sigaction = nshm__cow_handler;
    mine.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    sigfillset(&mine.sa_mask);
    sigdelset(&mine.sa_mask, SIGSEGV); /* with SA_NODEFER: a fault of the handler's own goes to the one before us */
    if (!nshm__cow_installed && pthread_atfork(NULL, NULL, nshm__cow_child)) return -ENOMEM;
    nshm__cow_installed = 1;
    nshm__cow_before = now;
    return sigaction(SIGSEGV, &mine, NULL) ? -errno : 0;
}

/* Turn a read-only attachment of our own into a copy-on-write view by fault handling.  0 or -errno; -E2BIG: see the limits. */
static int nshm__cow_watch(void *start, size_t size) {
    size_t pages = size / 4096;
    unsigned char *own;
    int r = nshm__cow_install();
    if (r) return r;
    if (!(own = (unsigned char *)calloc(pages, 1))) return -ENOMEM;
    r = -E2BIG;
    nshm__cow_enter();
    if (nshm__cow_total + pages <= NSHM_COW_PAGES)
        for (int i = 0; i < NSHM_COW_REGIONS && r; i++)
            if (!nshm__cow[i].start) {
                nshm__cow[i].pages = pages;
                nshm__cow[i].own = own;
                nshm__cow[i].start = (char *)start;
                nshm__cow_total += pages;
                r = 0;
            }
    nshm__cow_leave();
    if (r) free(own);
    return r;
}
static void nshm__cow_forget(void *start) {
    unsigned char *own = NULL;
    nshm__cow_enter();
    for (int i = 0; i < NSHM_COW_REGIONS; i++)
        if (nshm__cow[i].start == (char *)start) {
            own = nshm__cow[i].own;
            nshm__cow_total -= nshm__cow[i].pages;
            nshm__cow[i].start = NULL;
            break;
        }
    nshm__cow_leave();
    free(own);
}
/* A private mapping of an attachment by the kernel; NULL where the process may not (errno EPERM). */
static void *nshm__cow_kernel(void *attached, size_t size, int prot) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/map_files/%lx-%lx", (unsigned long)attached, (unsigned long)attached + size);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return NULL;
    void *p = mmap(NULL, size, prot, MAP_PRIVATE, fd, 0);
    int e = errno;
    close(fd);
    errno = e;
    return p == MAP_FAILED ? NULL : p;
}
#endif
