/* _parcels.h - handles on their way to other processes, kept until the receiver has them or is gone.
 *
 * What:   nshm_send of namedshm.h leaves something to keep with the sender.  Here one thread of the process, which never enters
 *         Python, waits for all of them: for the parcel's record to change (the receiver has attached it) and for the end of the
 *         receiver; then it lets go.  It ends when there is nothing to wait for.
 * Why:    a thread, for the name must go with the receiver's handle though the sender be busy, or asleep for ever.  Not a Python
 *         one: those need the threading module and the interpreter, are greenlets under gevent, and are interrupted by nothing.
 *         A thread of the kernel's own kind, with every signal blocked, is none of that.
 * Fork:   the child has neither the thread nor a claim to the parcels: it drops them.  Its next send starts a thread of its own.
 *
 * Whether the receiver is gone is known by a pidfd taken at sending, so a number that is used again is not taken for it.  Without
 * (before Linux 5.3, or no descriptor left): by its number and, where /proc tells, the time of its start.
 */
#ifndef NAMEDSHM_PARCELS_H
#define NAMEDSHM_PARCELS_H
#include "namedshm.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

#define NSHM_PARCELS_WATCHED 126u      /* slept on at once; more of them are looked at every NSHM_PARCELS_GLANCE */
#define NSHM_PARCELS_LOOK 500000000    /* nanoseconds between looks for receivers that are gone */
#define NSHM_PARCELS_GLANCE 10000000   /* the same, where one cannot sleep on all parcels */

typedef struct nshm_parcel {
    struct nshm_parcel *next;
    nshm_parked kept;
    int listed, sent; /* in the list; there is something kept */
    int pid, pidfd;
    uint64_t started; /* of the receiver, without a pidfd: clock ticks after boot, 0 unknown */
} nshm_parcel;

/* Under the lock: the list, and whether there is a thread.  Order: this lock, then everything of namedshm.h. */
static pthread_mutex_t nshm__post = PTHREAD_MUTEX_INITIALIZER;
static nshm_parcel *nshm__parcels;
static int nshm__postman;
static uint32_t nshm__post_news; /* futex: changes when the list does */

/* ------------------------------------------------------------------------------------------------ the receiver */
/* When process `pid` was started, 0 if that cannot be told; *ended: it is a zombie. */
static uint64_t nshm__started(int pid, int *ended) {
    char path[32], text[1024], *at;
    unsigned long long ticks = 0;
    ssize_t n;
    int fd;
    *ended = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    if ((fd = open(path, O_RDONLY | O_CLOEXEC)) < 0) return 0;
    n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0) return 0;
    text[n] = 0;
    if (!(at = strrchr(text, ')'))) return 0; /* behind the command, which may be anything: state, then numbers */
    if (at[1] && (at[2] == 'Z' || at[2] == 'X')) *ended = 1;
    if (sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu", &ticks) != 1) return 0;
    return ticks;
}
static int nshm__readable(int fd) {
    struct pollfd p = {fd, POLLIN, 0};
    return poll(&p, 1, 0) > 0;
}
static int nshm__receiver_gone(const nshm_parcel *p) {
    uint64_t started;
    int ended;
    if (p->pidfd >= 0) return nshm__readable(p->pidfd); /* readable from its end on, reaped or not */
    if (kill(p->pid, 0) && errno == ESRCH) return 1;
    started = nshm__started(p->pid, &ended);
    return ended || (started && p->started && started != p->started);
}
/* Find out about the receiver.  -ESRCH: there is no such process, or it has ended; -EPERM: it is another user's. */
static int nshm__receiver(int pid, nshm_parcel *p) {
    int ended = 0;
    p->pid = pid;
    p->pidfd = -1;
    if (pid <= 0) return -ESRCH; /* these mean groups of processes */
    if (kill(pid, 0)) return -errno;
    p->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (p->pidfd >= 0) {
        if (!nshm__readable(p->pidfd)) return 0;
        close(p->pidfd);
        p->pidfd = -1;
        return -ESRCH;
    }
    if (errno == ESRCH || errno == EINVAL || errno == ENOENT) return -ESRCH; /* the last two: a thread that is no process */
    p->started = nshm__started(pid, &ended);
    return ended ? -ESRCH : 0;
}
/* Can handles be sent to it?  0, -ESRCH or -EPERM. */
static int nshm_check_receiver(int pid) {
    nshm_parcel p;
    int r = nshm__receiver(pid, &p);
    if (!r && p.pidfd >= 0) close(p.pidfd);
    return r;
}

/* ------------------------------------------------------------------------------------------------ the thread */
static void nshm__parcel_free(nshm_parcel *p) {
    if (p->pidfd >= 0) close(p->pidfd);
    free(p);
}
struct nshm__watched { /* struct futex_waitv of linux/futex.h, which older headers lack */
    uint64_t val, uaddr;
    uint32_t flags, reserved;
};
/* Let go of what is done; what is left to sleep on, into v.  Returns how many, and -1 if nothing is left. */
static int nshm__post_round(struct nshm__watched *v, int *all) {
    nshm_parcel **link = &nshm__parcels, *p;
    unsigned n = 0;
    *all = 1;
    while ((p = *link)) {
        if (p->sent && (nshm_parcel_claimed(&p->kept) || nshm__receiver_gone(p)) && !nshm_unsend(&p->kept, 0)) {
            *link = p->next;
            nshm__parcel_free(p);
            continue;
        }
        link = &p->next;
        if (!p->sent) continue; /* its sender tells */
        if (n == NSHM_PARCELS_WATCHED) {
            *all = 0;
            continue;
        }
        v[n].val = (uint32_t)p->kept.box.nonce;
        v[n].uaddr = (uint64_t)(uintptr_t)nshm__low_half(nshm_parcel_word(&p->kept));
        v[n].flags = 2; /* FUTEX_32, shared between processes */
        v[n++].reserved = 0;
    }
    return nshm__parcels ? (int)n : -1;
}
static void *nshm__post_main(void *unused) {
    struct nshm__watched v[NSHM_PARCELS_WATCHED + 1];
    struct timespec until, nap = {0, NSHM_PARCELS_GLANCE};
    int n, all;
    (void)unused;
    for (;;) {
        pthread_mutex_lock(&nshm__post);
        if ((n = nshm__post_round(v, &all)) < 0) {
            nshm__postman = 0;
            pthread_mutex_unlock(&nshm__post);
            return NULL;
        }
        uint32_t seen = __atomic_load_n(&nshm__post_news, __ATOMIC_SEQ_CST);
        pthread_mutex_unlock(&nshm__post);
        /* From here on a parcel that we sleep on can only be let go of by ourselves: its registry stays mapped. */
        v[n].val = seen;
        v[n].uaddr = (uint64_t)(uintptr_t)&nshm__post_news;
        v[n].flags = 2;
        v[n].reserved = 0;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += NSHM_PARCELS_LOOK;
        if (until.tv_nsec >= 1000000000) {
            until.tv_nsec -= 1000000000;
            until.tv_sec++;
        }
        if (!all || (syscall(SYS_futex_waitv, v, n + 1, 0, &until, CLOCK_MONOTONIC) < 0 && (errno == ENOSYS || errno == EPERM)))
            syscall(SYS_futex, &nshm__post_news, FUTEX_WAIT, seen, &nap, NULL, 0); /* before Linux 5.16, or in a sandbox */
    }
}
static void nshm__post_tell(void) {
    __atomic_add_fetch(&nshm__post_news, 1, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, &nshm__post_news, FUTEX_WAKE, 1, NULL, NULL, 0);
}
static int nshm__post_start(void) { /* with the lock */
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all, before;
    int r = pthread_attr_init(&attributes);
    if (r) return -r;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, 256 << 10);
    sigfillset(&all); /* the program's handlers are for the program's threads */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(&thread, &attributes, nshm__post_main, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (!r) nshm__postman = 1;
    return -r;
}

/* ------------------------------------------------------------------------------------------------ fork */
static void nshm__post_before(void) { pthread_mutex_lock(&nshm__post); }
static void nshm__post_parent(void) { pthread_mutex_unlock(&nshm__post); }
static void nshm__post_child(void) {
    nshm_parcel *p;
    while ((p = nshm__parcels)) {
        nshm__parcels = p->next;
        nshm_parked_inherited(&p->kept);
        nshm__parcel_free(p);
    }
    nshm__postman = 0;
    pthread_mutex_unlock(&nshm__post);
}

/* ------------------------------------------------------------------------------------------------ sending
 * new, list, nshm_send into `kept`, then either done, or withdraw (and again, or free). */
static int nshm_parcel_new(int pid, nshm_parcel **made) {
    nshm_parcel *p = (nshm_parcel *)calloc(1, sizeof *p);
    int r = p ? nshm__receiver(pid, p) : -ENOMEM;
    if (r) free(p);
    else *made = p;
    return r;
}
/* From here on it has a thread, and a child forked by another thread drops it.  No Python code runs in this thread until the next call: it could fork,
 * and the child would go on with what was freed. */
static pthread_once_t nshm__post_once = PTHREAD_ONCE_INIT;
static int nshm__post_refused; /* errno of pthread_atfork */
static void nshm__post_register(void) { nshm__post_refused = pthread_atfork(nshm__post_before, nshm__post_parent, nshm__post_child); }
static int nshm_parcel_list(nshm_parcel *p) {
    pthread_once(&nshm__post_once, nshm__post_register);
    if (nshm__post_refused) return -nshm__post_refused;
    int r = 0;
    pthread_mutex_lock(&nshm__post);
    if (!nshm__postman) r = nshm__post_start(); /* before anything is sent: afterwards nothing may fail */
    if (!r) {
        p->next = nshm__parcels;
        nshm__parcels = p;
        p->listed = 1;
    }
    pthread_mutex_unlock(&nshm__post);
    return r;
}
static void nshm_parcel_withdraw(nshm_parcel *p) {
    nshm_parcel **link = &nshm__parcels;
    pthread_mutex_lock(&nshm__post);
    while (p->listed && *link != p) link = &(*link)->next;
    if (p->listed) *link = p->next;
    p->listed = 0;
    nshm__post_tell(); /* it may have been all there was */
    pthread_mutex_unlock(&nshm__post);
}
/* It is sent: the thread has it now. */
static void nshm_parcel_done(nshm_parcel *p) {
    pthread_mutex_lock(&nshm__post);
    p->sent = 1;
    nshm__post_tell();
    pthread_mutex_unlock(&nshm__post);
}
#endif
