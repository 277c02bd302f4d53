# Pages, made before they are written.  Included by _windows.pyx.
# PrefetchVirtualMemory reads pages in, but makes no new ones: in a copy those come by faults.


cdef double ticks() noexcept nogil:
    return GetTickCount64() * 1e-3


cdef class Pager(CorePager):
    def __cinit__(self):
        self.clock = ticks
