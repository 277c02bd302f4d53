/* _cow.h - copy-on-write views of System V segments.
 *
 * Windows' FILE_MAP_COPY: reads see the section, the first own write to a page makes that page private.  mmap(2) would do this
 * with MAP_PRIVATE, but a System V segment can only be attached shared.  Two ways, the first that works:
 *
 *   kernel   A process with CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN may open its own attachment through /proc/self/map_files and
 *            map that file MAP_PRIVATE: the kernel's own copy-on-write.
 *   fault    Everybody else: the segment is attached read-only; a write faults, and the SIGSEGV handler puts a private copy of
 *            that one page in its place (mremap(2) replaces it atomically) and lets the write go on.  Every other fault, such
 *            as a jump into a view that is not executable, is the business of the handler that was there before.
 *
 * Limits of the fault way, documented in docs/limits.md: a system call that writes into a page not yet private (readinto on it)
 * fails with EFAULT instead of faulting; each private page costs up to two of the process's 65,530 mappings, so all such views
 * together are limited to NSHM_COW_PAGES; a SIGSEGV handler installed later (faulthandler.enable() after map()) must chain.
 */
#ifndef NAMEDSHM_COW_H
#define NAMEDSHM_COW_H
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define NSHM_COW_REGIONS 1024
#define NSHM_COW_PAGES 24576 /* 96 MiB: half of vm.max_map_count's default, and room for everybody else */
#define NSHM_COW_PATIENCE 255

/* Changed under the lock only. */
typedef struct {
    char *start;
    size_t pages;
    int prot;           /* of the private pages: what the view was asked for */
    unsigned char *own; /* one byte a page: 0, or 1 and the faults since it became private.  Without it, two threads faulting on one
                           page would copy twice and the second copy would undo the first thread's writes.  A page that goes on
                           faulting is not ours to help (somebody changed its protection): NSHM_COW_PATIENCE ends that. */
} nshm__cow_region;

static nshm__cow_region nshm__cow[NSHM_COW_REGIONS];
static size_t nshm__cow_total;
static struct sigaction nshm__cow_before; /* under the lock, too */
static int nshm__cow_registered;

/* The lock is a futex word (0 free, 1 held, 2 held and slept for), for the handler of a fault may take nothing else; not a spin lock: a
 * thread of a lower priority could be kept from ever giving it up.  Whoever holds it has all signals blocked, so no handler finds
 * its own thread's lock taken; and nobody faults while holding it, for the pages touched are mapped.  fork(2) holds it: a child
 * finds the table whole. */
static int nshm__cow_lock;
static sigset_t nshm__cow_mask; /* the holder's, from before */

static void nshm__cow_take(void) {
    int seen = 0;
    if (__atomic_compare_exchange_n(&nshm__cow_lock, &seen, 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) return;
    while (__atomic_exchange_n(&nshm__cow_lock, 2, __ATOMIC_ACQUIRE))
        syscall(SYS_futex, &nshm__cow_lock, FUTEX_WAIT_PRIVATE, 2, NULL, NULL, 0);
}
static void nshm__cow_give(void) {
    if (__atomic_exchange_n(&nshm__cow_lock, 0, __ATOMIC_RELEASE) == 2) syscall(SYS_futex, &nshm__cow_lock, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}
static void nshm__cow_enter(void) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    nshm__cow_take();
    nshm__cow_mask = before;
}
static void nshm__cow_leave(void) {
    sigset_t before = nshm__cow_mask;
    nshm__cow_give();
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* Was it a write?  1 yes, 0 no (a read, a jump), -1 the machine does not tell: then the state of the page decides. */
static int nshm__cow_write(const ucontext_t *context) {
#if defined(__x86_64__)
    return (context->uc_mcontext.gregs[REG_ERR] & 2) != 0; /* the page fault's error code: bit 1 is W */
#elif defined(__aarch64__)
    const unsigned char *at = (const unsigned char *)context->uc_mcontext.__reserved;
    const unsigned char *end = at + sizeof context->uc_mcontext.__reserved;
    while (at + 16 <= end) { /* records of a magic number and a size: asm/sigcontext.h */
        uint32_t magic, size;
        uint64_t syndrome;
        memcpy(&magic, at, 4);
        memcpy(&size, at + 4, 4);
        if (magic == 0x45535201) { /* ESR_MAGIC */
            memcpy(&syndrome, at + 8, 8);
            /* a data abort, from here (class 0x24) or a lower level; ISS bit 6 is WnR */
            return (syndrome >> 26 & 0x3e) == 0x24 && (syndrome & 0x40);
        }
        if (!magic || size < 8) break;
        at += size;
    }
    return -1;
#else
    (void)context;
    return -1;
#endif
}
static int nshm__cow_fault(char *address) {
    int done = 0;
    nshm__cow_take();
    for (int i = 0; i < NSHM_COW_REGIONS; i++) {
        nshm__cow_region *r = &nshm__cow[i];
        if (!r->start || address < r->start || address >= r->start + r->pages * 4096) continue;
        size_t page = (size_t)(address - r->start) / 4096;
        if (r->own[page]) {
            done = r->own[page] < NSHM_COW_PATIENCE; /* another thread was faster, and the write goes on now */
            r->own[page] += (unsigned char)done;
        } else {
            char *at = r->start + page * 4096;
            char *copy = (char *)mmap(NULL, 4096, r->prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (copy != (char *)MAP_FAILED) {
                memcpy(copy, at, 4096);
                done = mremap(copy, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, at) == (void *)at;
                if (!done) munmap(copy, 4096);
            }
            r->own[page] = (unsigned char)done;
        }
        break;
    }
    nshm__cow_give();
    return done;
}
/* As if the handler before us had been called by the kernel. */
static void nshm__cow_chain(int number, siginfo_t *info, ucontext_t *context) {
    struct sigaction before;
    sigset_t mask;
    nshm__cow_take();
    before = nshm__cow_before;
    if (before.sa_flags & (int)SA_RESETHAND) {
        memset(&nshm__cow_before, 0, sizeof nshm__cow_before);
        nshm__cow_before.sa_handler = SIG_DFL;
    }
    nshm__cow_give();
    if (!(before.sa_flags & SA_SIGINFO) && (before.sa_handler == SIG_DFL || before.sa_handler == SIG_IGN)) {
        if (info->si_code <= 0 && before.sa_handler == SIG_IGN) return; /* sent by somebody, and to be ignored; a fault cannot be */
        signal(number, SIG_DFL);
        if (info->si_code <= 0) raise(number); /* nothing happens again of itself */
        return; /* the fault happens again and ends the process as it should */
    }
    sigemptyset(&mask);
    for (int k = 1; k < NSIG; k++) /* what was blocked where it happened, and what that handler asked for: we block everything */
        if (sigismember(&context->uc_sigmask, k) == 1 || sigismember(&before.sa_mask, k) == 1) sigaddset(&mask, k);
    if (!(before.sa_flags & (int)SA_NODEFER)) sigaddset(&mask, number);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    if (before.sa_flags & SA_SIGINFO) before.sa_sigaction(number, info, context);
    else before.sa_handler(number);
}
static void nshm__cow_handler(int number, siginfo_t *info, void *context) {
    int saved = errno;
    int ours = info->si_code == SEGV_ACCERR && nshm__cow_write((const ucontext_t *)context) && nshm__cow_fault((char *)info->si_addr);
    errno = saved;
    if (!ours) nshm__cow_chain(number, info, (ucontext_t *)context);
}
static int nshm__cow_install(void) { /* with the lock */
    struct sigaction mine, now;
    if (sigaction(SIGSEGV, NULL, &now)) return -errno;
    if ((now.sa_flags & SA_SIGINFO) && now.sa_sigaction == nshm__cow_handler) return 0;
    memset(&mine, 0, sizeof mine);
    mine.sa_sigaction = nshm__cow_handler;
    mine.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    sigfillset(&mine.sa_mask);
    sigdelset(&mine.sa_mask, SIGSEGV); /* with SA_NODEFER: a fault of the handler's own goes to the one before us */
    nshm__cow_before = now;
    return sigaction(SIGSEGV, &mine, NULL) ? -errno : 0;
}
static pthread_once_t nshm__cow_once = PTHREAD_ONCE_INIT;
static void nshm__cow_register(void) { nshm__cow_registered = !pthread_atfork(nshm__cow_enter, nshm__cow_leave, nshm__cow_leave); }

/* Turn a read-only attachment of our own into a copy-on-write view by fault handling.  `prot` is what its pages are to allow once
 * they are private.  0 or -errno; -E2BIG: see the limits. */
static int nshm__cow_watch(void *start, size_t size, int prot) {
    size_t pages = size / 4096;
    unsigned char *own;
    int r;
    pthread_once(&nshm__cow_once, nshm__cow_register);
    if (!nshm__cow_registered || !(own = (unsigned char *)calloc(pages, 1))) return -ENOMEM;
    nshm__cow_enter();
    if (!(r = nshm__cow_install())) r = -E2BIG;
    if (r == -E2BIG && nshm__cow_total + pages <= NSHM_COW_PAGES)
        for (int i = 0; i < NSHM_COW_REGIONS && r; i++)
            if (!nshm__cow[i].start) {
                nshm__cow[i].pages = pages;
                nshm__cow[i].own = own;
                nshm__cow[i].prot = prot;
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
