# The C face of _core for the compiled backends; Python code sees _core.pyi.
from namedshm._gate cimport nshm_gate


cdef class Mapping:
    cdef nshm_gate _gate
    cdef char *_address
    cdef Py_ssize_t _length
    cdef Py_ssize_t _window    # bytes from the start that may be touched: less than _length in a reserved section
    cdef bint _lent            # a buffer was handed out: whoever got it may use the address as long as this object lives
    cdef bint _readonly
    cdef object _owner         # unmaps when it goes
    cdef object _guard         # reserved sections: callable(start, end) -> where from start on the first uncommitted byte is
    cdef object _name          # for messages
    cdef object __weakref__
    cdef int _enter(self) except -1
    cdef int _leave(self) except -1
    cdef void _let_go(self)
    cdef object _refusal(self)
    cdef int _within(self, Py_ssize_t start, Py_ssize_t end) except -1
    cdef object _label(self)
    cdef bytes _read(self, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t step)
    cdef int _writable(self) except -1
    cdef int _write(self, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t step, char *source, Py_ssize_t size) except -1

cdef int fill(Mapping m, char *address, Py_ssize_t length, bint readonly, object owner, object name) except -1

# What a backend gives to C code that writes many pages.  Made by Backend.pager(); fields that a backend leaves are NULL.
cdef class Pager:
    cdef double (*clock)() noexcept nogil               # seconds, rising
    cdef int pagemap                                    # what absent() is given
    cdef bint (*absent)(int, char *) noexcept nogil     # may the page of this byte be missing?  NULL: a copy leaves pages to faults
    # Make these pages present, for writing or for reading, and change no byte: 0, or a positive errno where touching would kill.
    cdef int (*populate)(char *, Py_ssize_t, bint) noexcept nogil
