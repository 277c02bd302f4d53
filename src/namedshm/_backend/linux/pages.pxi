# Pages, made before they are written: madvise(2) MADV_POPULATE_*, and what /proc/self/pagemap tells.  Part of native.pyx.

cdef extern from * nogil:
    """
    #ifndef MADV_POPULATE_READ
    #define MADV_POPULATE_READ 22
    #define MADV_POPULATE_WRITE 23
    #endif
    #ifndef EHWPOISON
    #define EHWPOISON 133
    #endif
    /* Write a byte that others may be writing, and change nothing: what is there replaces itself, or somebody was faster. */
    static void nshm__touch(void *at) {
        unsigned char was = __atomic_load_n((unsigned char *)at, __ATOMIC_RELAXED);
        while (!__atomic_compare_exchange_n((unsigned char *)at, &was, was, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {}
    }
    static void nshm__look(void *at) { (void)*(volatile unsigned char *)at; }
    """
    void nshm__touch(void *)
    void nshm__look(void *)
    int MADV_POPULATE_READ, MADV_POPULATE_WRITE
    int EHWPOISON

cdef extern from "<sys/mman.h>" nogil:
    int madvise(void *, size_t, int)

cdef extern from "<fcntl.h>" nogil:
    int open_fd "open" (const char *, int, ...)
    int O_RDONLY, O_CLOEXEC

cdef extern from "<unistd.h>" nogil:
    Py_ssize_t pread(int, void *, size_t, int64_t)

cdef extern from "<time.h>" nogil:
    struct timespec:
        int64_t tv_sec
        int64_t tv_nsec
    int CLOCK_MONOTONIC
    int clock_gettime(int, timespec *)

cdef uint64_t PRESENT = <uint64_t>1 << 63


cdef double monotonic() noexcept nogil:
    cdef timespec t
    clock_gettime(CLOCK_MONOTONIC, &t)
    return t.tv_sec + t.tv_nsec * 1e-9


cdef bint page_is_absent(int pagemap, char *at) noexcept nogil:
    """Would touching this byte fault?  A page that others have in memory and this process has not mapped yet counts as absent."""
    cdef uint64_t entry = 0
    if pread(pagemap, &entry, sizeof(entry), <int64_t>(<uintptr_t>at // 4096 * 8)) != sizeof(entry):
        return False
    return not entry & PRESENT


cdef int make_pages(char *at, Py_ssize_t length, bint write) noexcept nogil:
    """Returns an errno only where touching would kill the process.  What madvise alone cannot (before Linux 5.14, or a
    copy-on-write view that is guarded by its signal handler) is left to faults, by touching."""
    cdef uintptr_t start = <uintptr_t>at & ~<uintptr_t>4095
    cdef uintptr_t end = (<uintptr_t>at + length + 4095) & ~<uintptr_t>4095
    cdef int failure
    if not madvise(<void *>start, end - start, MADV_POPULATE_WRITE if write else MADV_POPULATE_READ):
        return 0
    failure = errno
    if failure in (ENOMEM, EFAULT, EHWPOISON):
        return failure
    while start < end:
        if write:
            nshm__touch(<void *>start)
        else:
            nshm__look(<void *>start)
        start += 4096
    return 0


cdef class Pager(CorePager):
    def __cinit__(self):
        self.clock = monotonic
        self.populate = make_pages
        self.pagemap = open_fd("/proc/self/pagemap", O_RDONLY | O_CLOEXEC)
        if self.pagemap >= 0:  # it is -1 without /proc, or with no descriptor left
            self.absent = page_is_absent

    def __dealloc__(self):
        if self.pagemap >= 0:
            close_fd(self.pagemap)
