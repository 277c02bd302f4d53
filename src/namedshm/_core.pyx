# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=False, freethreading_compatible=True
"""Bytes and addresses: a mapped range as a Python buffer.  No names, no policy, no system calls.

A Mapping keeps its *owner* alive, an object that unmaps when the last reference goes.  That is the whole lifetime rule: an
exported buffer (memoryview, NumPy array) refers to the Mapping, the Mapping to the owner, so nothing can dangle and close()
never has to refuse.  Documented in _core.pyi.

Who touches the memory is in the view's gate meanwhile (_gate.h): arguments are converted first, for that may run Python code that
closes the view, and whoever closes it leaves the memory to those who are in.
"""
from cython cimport no_gc_clear
from cpython.buffer cimport PyBuffer_FillInfo, PyObject_GetBuffer, PyBuffer_Release, PyBUF_SIMPLE
from cpython.number cimport PyNumber_AsSsize_t
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.slice cimport PySlice_Check, PySlice_Unpack, PySlice_AdjustIndices
from libc.string cimport memcpy, memmove
from libc.stdint cimport uint64_t, uintptr_t

from namedshm._unbound cimport guard_methods
from namedshm._gate cimport (
    nshm_gate_close, nshm_gate_closed, nshm_gate_enter, nshm_gate_leave, nshm_gate_open, nshm_gate_shut)
from namedshm import errors  # now: when the first one is made, nothing may be importable any more

cdef extern from *:
    """
    /* 64-bit words that other processes read and write at the same time: acquire loads, release stores. */
    #ifdef _MSC_VER
    #include <windows.h>
    #define nshm__load64(p) (*(const volatile unsigned __int64 *)(p))  /* an acquire load with /volatile:ms, x64's default */
    #define nshm__store64(p, v) ((void)_InterlockedExchange64((volatile __int64 *)(p), (__int64)(v)))
    #define nshm__exchange64(p, v) ((unsigned __int64)_InterlockedExchange64((volatile __int64 *)(p), (__int64)(v)))
    #define nshm__fence() MemoryBarrier()
    #else
    #define nshm__load64(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
    #define nshm__store64(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
    #define nshm__exchange64(p, v) __atomic_exchange_n((p), (v), __ATOMIC_SEQ_CST)
    #define nshm__fence() __atomic_thread_fence(__ATOMIC_SEQ_CST)
    #endif
    """
    uint64_t nshm__load64(const uint64_t *p) nogil
    void nshm__store64(uint64_t *p, uint64_t v) nogil
    uint64_t nshm__exchange64(uint64_t *p, uint64_t v) nogil
    void nshm__fence() nogil


cdef extern from "Python.h":
    object PySeqIter_New(object)


cdef Py_ssize_t GIL_FREE_COPY = 65536  # bytes; above this a copy takes longer than handing the GIL over (about 5 us)


@no_gc_clear  # the collector may not unmap what somebody can still reach; no cycle goes through what is held here
cdef class Mapping:
    def __cinit__(self):
        nshm_gate_shut(&self._gate)
        self._readonly = True

    def __init__(self):
        raise TypeError("Mapping objects are made by Section.map()")

    @property
    def address(self):
        """Where the first byte is mapped in this process.  Raises: ClosedHandle."""
        if nshm_gate_closed(&self._gate):
            raise self._refusal()
        return <uintptr_t>self._address

    @property
    def readonly(self):
        """Whether writing is refused."""
        return bool(self._readonly)

    @property
    def closed(self):
        """Whether :meth:`close` was called."""
        return bool(nshm_gate_closed(&self._gate))

    cdef object _refusal(self):
        return errors.ClosedHandle(f"This view of {self._label()} is closed: map the section again", call="Mapping")

    cdef object _label(self):
        return "an unnamed section" if self._name is None else repr(self._name)

    # Between the two nothing unmaps.  Between the last conversion of an argument and _enter() no Python code runs.
    cdef int _enter(self) except -1:
        if not nshm_gate_enter(&self._gate):
            raise self._refusal()
        return 0

    cdef int _leave(self) except -1:
        if nshm_gate_leave(&self._gate):
            self._let_go()
        return 0

    cdef void _let_go(self):
        # Not if a buffer was ever taken: numpy.ndarray(buffer=view) gives it back at once and keeps the address and this object.
        if not self._lent:
            self._guard = None
            self._owner = None

    def close(self) -> None:
        """End direct access.  Twice is a no-op.

        The memory is unmapped now; or, if a buffer was ever taken from here, when nothing refers to this object any more, as
        buffers and arrays made of it do.
        """
        if nshm_gate_close(&self._gate) >= 0:
            self._leave()

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        self._enter()
        try:
            self._within(0, self._length)
            PyBuffer_FillInfo(buffer, self, self._address, self._length, self._readonly, flags)
            self._lent = True
        finally:
            self._leave()

    def __len__(self):
        return self._length

    def __iter__(self):
        return PySeqIter_New(self)

    cdef int _within(self, Py_ssize_t start, Py_ssize_t end) except -1:
        cdef Py_ssize_t reach
        if end <= self._window:
            return 0
        reach = self._window if self._guard is None else self._guard(start, end)  # others may have committed more meanwhile
        if reach < end:
            raise errors.AccessDenied(
                f"Bytes {start} to {end} of this view of {self._label()} are not all committed (from {reach} on): "
                "commit them first",
                winerror=487, call="view")
        return 0

    def __getitem__(self, index):
        cdef Py_ssize_t start, stop, step, i
        if not PySlice_Check(index):
            i = PyNumber_AsSsize_t(index, IndexError)
            self._enter()
            try:
                if i < 0:
                    i += self._length
                if not 0 <= i < self._length:
                    raise IndexError(f"index {index} is outside this view of {self._length} bytes")
                self._within(i, i + 1)
                return (<unsigned char *>self._address)[i]
            finally:
                self._leave()
        PySlice_Unpack(index, &start, &stop, &step)
        self._enter()
        try:
            return self._read(start, stop, step)
        finally:
            self._leave()

    cdef bytes _read(self, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t step):
        cdef Py_ssize_t n = PySlice_AdjustIndices(self._length, &start, &stop, step), i
        cdef char *source = self._address + start
        cdef bytes out
        cdef char *to
        if n:
            self._within(min(start, start + (n - 1) * step), max(start, start + (n - 1) * step) + 1)
        out = PyBytes_FromStringAndSize(NULL, n)
        to = <char *>out
        if step != 1:
            for i in range(n):
                to[i] = source[i * step]
        elif n < GIL_FREE_COPY:
            memcpy(to, source, n)
        else:
            with nogil:
                memcpy(to, source, n)
        return out

    # Called by who is in: it may be created read-only only, so nobody can change the answer.
    cdef int _writable(self) except -1:
        if self._readonly:
            raise errors.AccessDenied(f"This view of {self._label()} is read-only: map it with access 'write'", call="view")
        return 0

    def __setitem__(self, index, value):
        cdef Py_ssize_t start, stop, step, i, byte
        cdef Py_buffer b
        if not PySlice_Check(index):
            i = PyNumber_AsSsize_t(index, IndexError)
            byte = PyNumber_AsSsize_t(value, ValueError)
            self._enter()
            try:
                self._writable()
                if i < 0:
                    i += self._length
                if not 0 <= i < self._length:
                    raise IndexError(f"index {index} is outside this view of {self._length} bytes")
                self._within(i, i + 1)
                if not 0 <= byte <= 255:
                    raise ValueError(f"a byte is 0 to 255, not {byte}")
                (<unsigned char *>self._address)[i] = <unsigned char>byte
            finally:
                self._leave()
            return
        PySlice_Unpack(index, &start, &stop, &step)
        PyObject_GetBuffer(value, &b, PyBUF_SIMPLE)
        try:
            self._enter()
            try:
                self._writable()
                self._write(start, stop, step, <char *>b.buf, b.len)
            finally:
                self._leave()
        finally:
            PyBuffer_Release(&b)

    cdef int _write(self, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t step, char *source, Py_ssize_t size) except -1:
        cdef Py_ssize_t n = PySlice_AdjustIndices(self._length, &start, &stop, step), i
        cdef char *target = self._address + start
        cdef bytes copy
        if size != n:
            raise ValueError(f"cannot assign {size} bytes to {n}: a view has a fixed size")
        if not n:
            return 0
        self._within(min(start, start + (n - 1) * step), max(start, start + (n - 1) * step) + 1)
        if step == 1:
            if n < GIL_FREE_COPY:
                memmove(target, source, n)
            else:
                with nogil:
                    memmove(target, source, n)
            return 0
        if self._address - n < source < self._address + self._length:  # a part of this view, which changes as we go
            copy = PyBytes_FromStringAndSize(source, n)
            source = copy
        for i in range(n):
            target[i * step] = source[i]
        return 0

    def __delitem__(self, index):
        raise TypeError("a view has a fixed size: bytes cannot be deleted")


cdef int fill(Mapping m, char *address, Py_ssize_t length, bint readonly, object owner, object name) except -1:
    if m is None or m._owner is not None or not nshm_gate_closed(&m._gate) or m._lent:
        raise TypeError("a view is mapped once: its class returned one that was mapped before")
    m._address = address
    m._length = length
    m._window = length
    m._readonly = readonly
    m._owner = owner
    m._name = name
    nshm_gate_open(&m._gate)
    return 0


# The four below: by who is in.
cdef uint64_t *word(Mapping m, Py_ssize_t offset) except NULL:
    if offset < 0 or offset > m._length - 8 or offset % 8:
        raise IndexError(f"there is no aligned 64-bit word at {offset} in a view of {m._length} bytes")
    m._within(offset, offset + 8)
    return <uint64_t *>(m._address + offset)


def load64(Mapping mapping not None, Py_ssize_t offset):
    mapping._enter()
    try:
        return nshm__load64(word(mapping, offset))
    finally:
        mapping._leave()


def store64(Mapping mapping not None, Py_ssize_t offset, uint64_t value):
    mapping._enter()
    try:
        mapping._writable()
        nshm__store64(word(mapping, offset), value)
    finally:
        mapping._leave()


# A store or a look, whichever it takes, that is ordered with all that the caller did before and does after.
def swap64(Mapping mapping not None, Py_ssize_t offset, uint64_t value):
    cdef uint64_t *at
    mapping._enter()
    try:
        mapping._writable()
        at = word(mapping, offset)
        nshm__fence()
        return value if nshm__load64(at) == value else nshm__exchange64(at, value)
    finally:
        mapping._leave()


cdef class Pager:
    pass


# A value that is read whole while others write it: two slots, each a 64-bit version and the value, in which the one with the
# higher version counts.  The writer (one at a time: whoever calls sees to that) rewrites the other slot, its version 0
# meanwhile, and stores the new version last.  So a reader disturbs nobody and is disturbed only if two writers finish during its
# one copy; then the version it began with has changed and it reads again.  A writer that dies half-way leaves the value before.
cdef int TRIES = 1000


cdef char *slots(Mapping m, Py_ssize_t base, Py_ssize_t size) except NULL:
    word(m, base)
    if size < 8 or size % 8 or size > (m._length - base) // 2:
        raise IndexError(f"there are no two slots of {size} bytes at {base} in a view of {m._length} bytes")
    m._within(base, base + 2 * size)
    return m._address + base


def read_slots(Mapping mapping not None, Py_ssize_t base, Py_ssize_t size, Py_ssize_t start, Py_ssize_t length):
    mapping._enter()
    try:
        return read_newest(slots(mapping, base, size), size, start, length)
    finally:
        mapping._leave()


cdef object read_newest(char *first, Py_ssize_t size, Py_ssize_t start, Py_ssize_t length):
    cdef char *newest
    cdef uint64_t version, other
    cdef bytes value
    cdef int _tries
    cdef bint written = False
    if start < 8 or length < 0 or length > size - start:
        raise IndexError(f"bytes {start} to {start + length} are not in the value of a slot of {size} bytes")
    value = PyBytes_FromStringAndSize(NULL, length)
    for _tries in range(TRIES):
        version = nshm__load64(<uint64_t *>first)
        other = nshm__load64(<uint64_t *>(first + size))
        newest = first if version > other else first + size
        version = max(version, other)
        if not version:  # between the two loads one slot was finished and the other begun; or nothing was ever written
            continue
        written = True
        memcpy(<char *>value, newest + start, length)
        nshm__fence()  # the copy is done before the version is looked at again
        if nshm__load64(<uint64_t *>newest) == version:
            return version, value
    return None if written else (0, b"")


def write_slots(Mapping mapping not None, Py_ssize_t base, Py_ssize_t size, value):
    cdef Py_buffer b
    PyObject_GetBuffer(value, &b, PyBUF_SIMPLE)
    try:
        mapping._enter()
        try:
            mapping._writable()
            return write_older(slots(mapping, base, size), size, &b)
        finally:
            mapping._leave()
    finally:
        PyBuffer_Release(&b)


cdef object write_older(char *target, Py_ssize_t size, Py_buffer *b):
    cdef uint64_t version, other
    if b.len > size - 8:
        raise ValueError(f"a slot of {size} bytes takes a value of {size - 8} at most, not {b.len}")
    version = nshm__load64(<uint64_t *>target)
    other = nshm__load64(<uint64_t *>(target + size))
    if version > other:
        target += size
    version = max(version, other) + 1
    if not version:
        raise OverflowError("the version is at its end: no writer of this package got there")
    nshm__store64(<uint64_t *>target, 0)
    nshm__fence()  # nobody sees a byte of the new value under the old version
    memcpy(target + 8, b.buf, b.len)
    nshm__store64(<uint64_t *>target, version)
    return version


def again(kind, Mapping mapping not None):
    """Another view of the same bytes, a `kind`: the memory stays mapped once."""
    cdef Mapping twin = kind.__new__(kind)
    mapping._enter()
    try:
        fill(twin, mapping._address, mapping._length, mapping._readonly, mapping._owner, mapping._name)
        twin._guard = mapping._guard
        twin._window = mapping._window
    finally:
        mapping._leave()
    return twin


cdef class Refusing:
    """Base of _unavailable.Unavailable: before Python 3.12 only a compiled class has the buffer protocol, if only to refuse."""

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        type(self)._refuse(self)
        raise BufferError("there is no memory behind this object")


# ------------------------------------------------------------------------------------------------------------ threads
cdef extern from "Python.h":
    unsigned long PyThread_start_new_thread(void (*)(void *) noexcept, void *)
    unsigned long PYTHREAD_INVALID_THREAD_ID
    void Py_INCREF(object)
    void Py_DECREF(object)


cdef void in_thread(void *function) noexcept with gil:
    cdef object call = <object>function
    Py_DECREF(call)  # start_thread()'s
    call()


def start_thread(function):
    Py_INCREF(function)
    if PyThread_start_new_thread(in_thread, <void *>function) == PYTHREAD_INVALID_THREAD_ID:
        Py_DECREF(function)
        raise errors.OutOfResources(
            "Cannot start a thread: the system has no memory for its stack, or the limit on processes is reached (ulimit -u, "
            "pids.max of the cgroup); end some", winerror=errors.ERROR_NO_SYSTEM_RESOURCES, call="PyThread_start_new_thread")


guard_methods(globals())
