# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=False, freethreading_compatible=True
"""Copying and populating large memory by several threads, without the GIL.  Documented in _copying.pyi.

The work is cut into units that end at multiples of 2 MiB of the target's addresses, so that no two threads fault in the same huge
page.  Threads take the next unit until there is none; the calling thread is one of them, and looks up for signals and progress.

The memory is borrowed: the buffers are released when the call returns, however it returns, so every helper has left its last
unit before that.  A helper never takes the GIL.  The job is on the heap and belongs to whoever lets go of it last: after a helper
has said that it is done, it still has to leave the lock it said it with.

A fork in the midst of it (by a signal handler or the progress callback; another thread's fork does not come back here) leaves the
child without helpers, and with units that nobody will finish.  The child must not wait for them: `forks` tells.
"""
from cpython.buffer cimport PyObject_GetBuffer, PyBuffer_Release, PyBUF_SIMPLE, PyBUF_WRITABLE
from cpython.bytearray cimport PyByteArray_FromStringAndSize
from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport uintptr_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memmove

from namedshm._core cimport Mapping, Pager
from namedshm._unbound cimport guard_methods

from namedshm import errors

cdef extern from "Python.h" nogil:
    ctypedef void *PyThread_type_lock
    PyThread_type_lock PyThread_allocate_lock()
    void PyThread_free_lock(PyThread_type_lock)
    int PyThread_acquire_lock(PyThread_type_lock, int)
    void PyThread_release_lock(PyThread_type_lock)
    unsigned long PyThread_start_new_thread(void (*)(void *) noexcept nogil, void *)
    unsigned long PYTHREAD_INVALID_THREAD_ID

cdef extern from "_streaming.h" nogil:
    size_t nshm__cache_size()
    void nshm__stream(char *, const char *, size_t)

cdef enum:
    UNIT = 2 << 20      # what a thread takes at a time, and a huge page of x86-64 and arm64
    LARGEST_TEAM = 64
    GIL_FREE_COPY = 65536  # bytes, as in _core.pyx
    PIECE = 256 << 10   # what is faulted in at a time: it is still in the second-level cache when the bytes follow

cdef double patience = 0.05  # seconds between looks at signals and progress
cdef Py_ssize_t streamed = nshm__cache_size()  # bytes; larger copies are written past the cache
cdef int forks = 0


def look_up_every(double seconds):
    """Tests make it 0: then the calling thread looks up after each unit.  Returns what it was."""
    global patience
    before, patience = patience, seconds
    return before


def stream_above(Py_ssize_t size):
    """Tests make it 0: then all is streamed.  Returns what it was."""
    global streamed
    before, streamed = streamed, size
    return before


def forked():
    """Called in a child just forked."""
    global forks
    forks += 1


cdef struct job:
    char *to
    const char *source         # NULL: nothing is copied, the pages alone are wanted
    Py_ssize_t size
    bint overlap, backward     # of a copy
    bint stream                # a copy larger than the cache
    bint write                 # of pages alone: for writing, or for reading
    double (*clock)() noexcept nogil
    int pagemap
    bint (*absent)(int, char *) noexcept nogil
    int (*populate)(char *, Py_ssize_t, bint) noexcept nogil
    PyThread_type_lock ended   # held from the first helper's start to the last one's end
    bint assembled             # there were helpers
    PyThread_type_lock guard   # for what follows
    Py_ssize_t taken, done     # bytes
    int helpers, users, failure
    bint stop


cdef void let_go(job *j) noexcept nogil:
    cdef int users
    PyThread_acquire_lock(j.guard, 1)
    j.users -= 1
    users = j.users
    PyThread_release_lock(j.guard)
    if not users:
        PyThread_free_lock(j.guard)
        PyThread_free_lock(j.ended)
        free(j)


cdef bint take(job *j, Py_ssize_t *start, Py_ssize_t *length) noexcept nogil:
    """The next unit, or False when there is none."""
    cdef Py_ssize_t first, last
    cdef uintptr_t to = <uintptr_t>j.to
    cdef bint more
    PyThread_acquire_lock(j.guard, 1)
    more = not j.stop and j.taken < j.size
    if more:
        if j.backward:
            last = j.size - j.taken
            first = max(0, <Py_ssize_t>((to + last - 1) // UNIT * UNIT - to))
        else:
            first = j.taken
            last = min(j.size, <Py_ssize_t>((to + first) // UNIT * UNIT + UNIT - to))
        start[0], length[0] = first, last - first
        j.taken += last - first
    PyThread_release_lock(j.guard)
    return more


cdef void finish(job *j, Py_ssize_t length, int failure) noexcept nogil:
    PyThread_acquire_lock(j.guard, 1)
    if failure:
        j.stop = True
        j.failure = failure
    else:
        j.done += length
    PyThread_release_lock(j.guard)


cdef int fill(job *j, Py_ssize_t start, Py_ssize_t length) noexcept nogil:
    """Do one unit; a positive errno if the target's pages cannot be had."""
    cdef char *to = j.to + start
    cdef const char *source = j.source + start
    cdef Py_ssize_t n
    cdef int failure
    if j.source == NULL:
        return j.populate(to, length, j.write)
    if j.overlap:
        memmove(to, source, length)
    elif j.absent == NULL or not j.absent(j.pagemap, to + length - 1):
        if j.stream:
            nshm__stream(to, source, length)
        else:
            memcpy(to, source, length)
    else:
        while length:
            n = min(length, PIECE)
            failure = j.populate(to, n, True)
            if failure:
                return failure
            memcpy(to, source, n)
            to += n
            source += n
            length -= n
    return 0


cdef void helper(void *context) noexcept nogil:
    cdef job *j = <job *>context
    cdef Py_ssize_t start, length
    cdef bint last
    while take(j, &start, &length):
        finish(j, length, fill(j, start, length))
    PyThread_acquire_lock(j.guard, 1)
    j.helpers -= 1
    last = not j.helpers
    PyThread_release_lock(j.guard)
    if last:
        PyThread_release_lock(j.ended)
    let_go(j)


cdef void assemble(job *j, int helpers) noexcept nogil:
    """Start helpers; where the system gives fewer, or none, the work takes longer."""
    cdef int _n
    PyThread_acquire_lock(j.guard, 1)  # the first must not find itself the last
    for _n in range(helpers):
        j.helpers += 1
        j.users += 1
        if PyThread_start_new_thread(helper, j) == PYTHREAD_INVALID_THREAD_ID:
            j.helpers -= 1
            j.users -= 1
            break
    if j.helpers:
        j.assembled = True
        PyThread_acquire_lock(j.ended, 1)
    PyThread_release_lock(j.guard)


cdef void disband(job *j) noexcept nogil:
    """Until every helper has left its last unit.  No unit is taken any more."""
    PyThread_acquire_lock(j.guard, 1)
    j.stop = True
    PyThread_release_lock(j.guard)
    if j.assembled:
        PyThread_acquire_lock(j.ended, 1)


cdef bint work(job *j) noexcept nogil:
    """Take part for a while; False when there is nothing left to take."""
    cdef Py_ssize_t start, length
    cdef double until = j.clock() + patience
    while take(j, &start, &length):
        finish(j, length, fill(j, start, length))
        if j.clock() >= until:
            return True
    return False


cdef class Pair:
    """Two borrowed buffers of one length."""
    cdef Py_buffer target, source
    cdef bint has_target, has_source
    cdef object target_memory, source_memory  # what keeps them, where they are views

    def __cinit__(self, target, source):
        self.source_memory = borrow(source, &self.source, False)
        self.has_source = True
        self.target_memory = borrow(target, &self.target, True)
        self.has_target = True
        if self.target.len != self.source.len:
            raise errors.InvalidArgument(
                f"Cannot copy {self.source.len} bytes into {self.target.len}: both must be of one length, slice the longer",
                call="copy")

    def __dealloc__(self):
        self.release()

    def release(self):
        if self.has_target:
            self.has_target = False
            PyBuffer_Release(&self.target)
        if self.has_source:
            self.has_source = False
            PyBuffer_Release(&self.source)
        self.target_memory = self.source_memory = None

    @property
    def size(self):
        return self.target.len

    def move(self):
        """All of it by this thread."""
        if self.target.len < GIL_FREE_COPY:
            memmove(self.target.buf, self.source.buf, self.target.len)
        else:
            with nogil:
                memmove(self.target.buf, self.source.buf, self.target.len)

    def move_by(self, int threads, Pager pager, progress):
        """All of it by so many threads; 0, or the errno that says why there is no memory."""
        cdef uintptr_t to = <uintptr_t>self.target.buf, source = <uintptr_t>self.source.buf
        cdef Py_ssize_t size = self.target.len
        cdef job *j = new_job(<char *>to, size, pager)
        j.source = <const char *>source
        j.stream = size > streamed
        j.overlap = to < source + size and source < to + size
        j.backward = j.overlap and source < to
        return run(j, 1 if j.overlap else threads, progress)


def populate(Mapping m not None, Py_ssize_t offset, Py_ssize_t length, bint write, int threads, Pager pager not None):
    """Make the pages of a range within the view; those not committed are left out.  0, or an errno."""
    cdef Py_ssize_t start, end, stop
    cdef job *j
    cdef int failure = 0
    m._enter()
    try:
        start = max(0, min(offset, m._length))
        end = start + max(0, min(length, m._length - start))
        while start < end and not failure:
            stop = end if m._guard is None else m._guard(start, end)
            if stop > start:
                j = new_job(m._address + start, stop - start, pager)
                j.write = write and not m._readonly
                failure = run(j, threads, None)
                start = stop
            else:
                start += 4096 - start % 4096
    finally:
        m._leave()
    return failure


def unfilled(Py_ssize_t size):
    """A bytearray whose bytes are anything: it is going to be filled, and need not be filled with zeros before."""
    return PyByteArray_FromStringAndSize(NULL, size)


cdef job *new_job(char *to, Py_ssize_t size, Pager pager) except NULL:
    cdef job *j = <job *>calloc(1, sizeof(job))
    if j == NULL:
        raise MemoryError
    j.to, j.size, j.users = to, size, 1
    j.clock, j.pagemap, j.absent, j.populate = pager.clock, pager.pagemap, pager.absent, pager.populate
    j.guard, j.ended = PyThread_allocate_lock(), PyThread_allocate_lock()
    if j.guard == NULL or j.ended == NULL:
        raise MemoryError  # and a few bytes are lost
    return j


cdef int run(job *j, int threads, progress) except -1:
    """Do a job and let go of it; 0, or an errno.  The caller keeps the memory, and the pager."""
    cdef Py_ssize_t done
    cdef int mine = forks, failure = 0
    cdef bint more
    try:
        assemble(j, min(threads, LARGEST_TEAM, (j.size + UNIT - 1) // UNIT) - 1)
        while True:
            with nogil:
                more = work(j)
                PyThread_acquire_lock(j.guard, 1)
                done = j.done
                PyThread_release_lock(j.guard)
            if not more:
                break
            PyErr_CheckSignals()
            if progress is not None and done < j.size:
                progress(done, j.size)
            if forks != mine:
                raise RuntimeError("this is a child forked in the midst of a copy: the parent goes on with it")
    finally:
        if forks == mine:  # else it is for ever as the fork found it
            with nogil:
                disband(j)
                failure = j.failure
                let_go(j)
    return failure


cdef object borrow(thing, Py_buffer *buffer, bint write):
    """Fill `buffer`; returns what to keep beside it."""
    cdef Mapping m
    if isinstance(thing, Mapping):  # not by its buffer: a view that ever lent one keeps its memory for longer than it is open
        m = thing
        m._enter()
        try:
            if write:
                m._writable()
            m._within(0, m._length)
            buffer.buf, buffer.len = m._address, m._length  # and no object to release: buffer.obj is NULL from the start
            return m._owner
        finally:
            m._leave()
    try:
        PyObject_GetBuffer(thing, buffer, PyBUF_WRITABLE if write else PyBUF_SIMPLE)
    except errors.NamedShmError:
        raise
    except (BufferError, ValueError) as reason:
        if write and not_contiguous(thing) is None:
            raise errors.AccessDenied(
                f"Cannot copy into a {type(thing).__name__} that is read-only: copy into one that is writable", call="copy"
            ) from reason
        raise errors.InvalidArgument(
            f"Cannot copy {'into' if write else 'from'} this {type(thing).__name__}: {reason}; bytes must be in one piece",
            call="copy") from reason
    return None


cdef object not_contiguous(thing):
    """Why its bytes cannot be had at all, or None."""
    cdef Py_buffer buffer
    try:
        PyObject_GetBuffer(thing, &buffer, PyBUF_SIMPLE)
    except (BufferError, ValueError) as reason:
        return reason
    PyBuffer_Release(&buffer)
    return None


guard_methods(globals())
