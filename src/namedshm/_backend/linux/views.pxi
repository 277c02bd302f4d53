# Views: what keeps memory mapped, and how far it may be touched.  Part of native.pyx.

cdef extern from * nogil:
    """
    #include <sys/mman.h>
    /* No part of core dumps, as the files behind other libraries' shared memory are none.  Advice is per mapping and lasts through
     * forks.  Small ones are left: they cost a dump little, often tell why a process crashed, and would cost a system call each. */
    static void nshm__hide_from_dumps(void *at, size_t length) {
        int e = errno;
        if (at && length >= 1u << 20) madvise(at, length, MADV_DONTDUMP);
        errno = e;
    }
    """
    void nshm__hide_from_dumps(void *, size_t)


cdef class Attachment:
    """Mapped memory; unmapped with the last reference.  Handle and views of one access share one."""
    cdef char *address
    cdef size_t length
    cdef char *watched   # where a fault-driven copy-on-write view begins in it

    def __dealloc__(self):
        if self.address != NULL:
            if self.watched != NULL:
                nshm__cow_forget(self.watched)
            munmap(self.address, self.length)


cdef Attachment attachment(void *address, size_t length):
    cdef Attachment a = Attachment.__new__(Attachment)
    a.address = <char *>address
    a.length = length
    nshm__hide_from_dumps(address, length)
    return a


cdef class Committed:
    """Tells a view of a reserved section how far it may be touched: one bit a page, behind the pages."""
    cdef Attachment attachment
    cdef char *bits
    cdef Py_ssize_t offset

    def __call__(self, Py_ssize_t start, Py_ssize_t end):
        cdef Py_ssize_t page = (self.offset + start) // 4096, last = (self.offset + end + 4095) // 4096
        while page < last and nshm__load8(self.bits + page // 8) >> (page & 7) & 1:
            page += 1
        return max(start, min(end, page * 4096 - self.offset))

    cdef void commit(self, Py_ssize_t start, Py_ssize_t end):
        cdef Py_ssize_t page
        for page in range((self.offset + start) // 4096, (self.offset + end + 4095) // 4096):
            nshm__or8(self.bits + page // 8, 1 << (page & 7))


cdef Committed committed(Attachment a, size_t pages, Py_ssize_t offset):
    cdef Committed c = Committed.__new__(Committed)
    c.attachment = a
    c.bits = a.address + pages
    c.offset = offset
    return c


def commit_view(Mapping m not None, Py_ssize_t offset, Py_ssize_t length):
    m._enter()
    try:
        if not (0 <= offset <= m._length and 0 <= length <= m._length - offset):
            raise explain(-ERANGE, "commit", m._name, length)
        if m._guard is None:
            return
        if m._readonly:
            raise explain(-EACCES, "commit", m._name, length)
        (<Committed?>m._guard).commit(offset, offset + length)
    finally:
        m._leave()


def reach(Mapping m not None):
    m._enter()
    try:
        return m._length if m._guard is None else m._guard(0, m._length)
    finally:
        m._leave()


def flush(Mapping m not None, Py_ssize_t offset, Py_ssize_t length):
    cdef uintptr_t start
    cdef char *address
    cdef int r
    m._enter()
    try:
        if not (0 <= offset <= m._length and 0 <= length <= m._length - offset):
            raise explain(-ERANGE, "flush", m._name, length)
        if not length:
            return
        start = (<uintptr_t>m._address + offset) & ~<uintptr_t>4095
        address = <char *>start
        with nogil:
            r = msync(address, length + (offset & 4095), MS_SYNC)
        if r:
            raise explain(-errno, "msync", m._name, length)
    finally:
        m._leave()
