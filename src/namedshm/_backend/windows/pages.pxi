# Pages, made before they are written.  Part of native.pyx.
# PrefetchVirtualMemory reads pages in, but makes no new ones, so pages are touched.  Ahead of a copy, whose writes touch them
# anyway, that would save nothing.

cdef extern from * nogil:
    """
    /* Write what others may be writing, and change nothing: what is there replaces itself, or somebody was faster. */
    static void namedshm_touch(char *page) {
        LONG was = *(volatile LONG *)page, now;
        while ((now = InterlockedCompareExchange((volatile LONG *)page, was, was)) != was) was = now;
    }
    static void namedshm_look(char *page) { (void)*(volatile char *)page; }
    """
    void namedshm_touch(char *)
    void namedshm_look(char *)


cdef double ticks() noexcept nogil:
    return GetTickCount64() * 1e-3


cdef int make_pages(char *at, Py_ssize_t length, bint write) noexcept nogil:
    cdef char *page = <char *>(<uintptr_t>at & ~<uintptr_t>4095)
    while page < at + length:
        if write:
            namedshm_touch(page)
        else:
            namedshm_look(page)
        page += 4096
    return 0


cdef class Pager(CorePager):
    def __cinit__(self):
        self.clock = ticks
        self.populate = make_pages
