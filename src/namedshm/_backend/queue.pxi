# Queues: include/namedshm_queue.h as Python objects.  Part of both compiled backends: what the systems do differently stands in
# queues.pxi of each, which makes and opens them.
#
# The first try of every call keeps the GIL: it takes less time than giving the GIL away and getting it back, and waits for nothing
# (queue_quick.h).  What that says no to is done again without the GIL, in slices, between which signal handlers run.
#
# Everybody is in the handle's gate while he uses its memory, and so is every message and every loan for as long as it lasts.  So
# closing takes no memory from anybody, and the last one out leaves the queue.

from cpython.buffer cimport (
    PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer)
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals
from cpython.memoryview cimport PyMemoryView_FromObject
from libc.errno cimport (
    EACCES, EAGAIN, EBADF, EBUSY, EINTR, EINVAL, EMSGSIZE, ENFILE, ENOSYS, EPIPE, ETIMEDOUT, EXDEV)
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

from namedshm import errors as queue_errors
from namedshm._arguments import count as checked_count
from namedshm._gate cimport nshm_gate_close_alone

cdef extern from "namedshm_queue.h" nogil:
    enum:
        NSHM_QUEUE_ACK, NSHM_QUEUE_ENDS, NSHM_QUEUE_DROP_OLDEST
        NSHM_QUEUE_DRAIN, NSHM_QUEUE_STOP
        NSHM_PRODUCER, NSHM_CONSUMER
        NSHM_QUEUE_INLINE_MAX
    uint32_t NSHM_QUEUE_NONE
    ctypedef struct nshm_queue_start:
        uint32_t capacity, inline_max, chunks, participants, mode
        uint64_t message_max
    ctypedef struct nshm_queue:
        nshm_handle handle
        uint32_t capacity, inline_max, chunks, participants, mode
        uint64_t message_max
        int64_t spin
    ctypedef struct nshm_queue_window:
        void *data
        uint64_t length, position
        uint32_t chunk
        int redelivered
    ctypedef struct nshm_queue_statistics:
        uint64_t put, got, put_bytes, got_bytes, redelivered, dropped
        uint32_t waiting, held, loaned, free_chunks
        int shut, sleepers
    ctypedef struct nshm_queue_participant:
        uint32_t roles, maker
        int pid, lives
    int64_t nshm_now()
    int nshm_queue_join(nshm_queue *, uint32_t)
    int nshm_queue_put_many(nshm_queue *, const void **, const uint64_t *, int, int64_t)
    int nshm_queue_loan(nshm_queue *, nshm_queue_window *, int64_t)
    int nshm_queue_commit(nshm_queue *, nshm_queue_window *, uint64_t, int64_t)
    int nshm_queue_abandon(nshm_queue *, nshm_queue_window *)
    int nshm_queue_take_many(nshm_queue *, void *, uint64_t, nshm_queue_window *, int, int64_t)
    int nshm_queue_release(nshm_queue *, nshm_queue_window *)
    int nshm_queue_acknowledge(nshm_queue *, nshm_queue_window *)
    int nshm_queue_return(nshm_queue *, nshm_queue_window *)
    int nshm_queue_shut_down(nshm_queue *, uint32_t)
    uint32_t nshm_queue_count(const nshm_queue *)
    uint32_t nshm_queue_again(const nshm_queue *)
    int nshm_queue_is_shut(const nshm_queue *)
    void nshm_queue_stat(const nshm_queue *, nshm_queue_statistics *)
    int nshm_queue_next_participant(const nshm_queue *, uint32_t *, nshm_queue_participant *)
    int64_t nshm_queue_slot_max(const nshm_queue *)
    int64_t nshm_queue_next_length(const nshm_queue *)
    int nshm_queue_quick_put(nshm_queue *, const void **, const uint64_t *, int)
    int nshm_queue_quick_loan(nshm_queue *, nshm_queue_window *)
    int nshm_queue_quick_commit(nshm_queue *, nshm_queue_window *, uint64_t)
    int nshm_queue_quick_take(nshm_queue *, void *, uint64_t, nshm_queue_window *, int)
    int nshm_queue_quick_look(nshm_queue *)
    int nshm_queue_quick_release(nshm_queue *, nshm_queue_window *, uint32_t)
    int nshm_queue_is_mine(const nshm_queue *, const nshm_queue_window *, uint32_t)

cdef int64_t QUEUE_FOR_EVER = 0x7FFFFFFFFFFFFFFF
cdef int64_t QUEUE_SLICE = 200_000_000  # nanoseconds without the GIL, after which a signal and a closed handle are noticed
cdef uint64_t QUEUE_GIL_FREE_COPY = 65536  # bytes; above this a copy takes longer than handing the GIL over
cdef enum:
    QUEUE_ROW = 64  # messages in one go
    QUEUE_ROOM = 16384  # bytes for those that lie in slots

#: Set by queue.py: the errors for no room, no message and the end; the classes of messages and loans.
cdef object queue_full, queue_empty, queue_shut, message_class, loan_class


def set_queue_classes(full, empty, shut, message, loan):
    global queue_full, queue_empty, queue_shut, message_class, loan_class
    queue_full, queue_empty, queue_shut, message_class, loan_class = full, empty, shut, message, loan


# When a wait with that patience ends; `end` if that is known already (not negative).
cdef inline int64_t queue_end(int64_t patience, int64_t end) noexcept:
    if end >= 0:
        return end
    return patience if patience == 0 or patience == QUEUE_FOR_EVER else nshm_now() + patience


cdef inline int64_t queue_slice(int64_t end) noexcept:
    return 0 if end == 0 else min(end, nshm_now() + QUEUE_SLICE)


# The bytes of what somebody wants to put, or to be filled.
cdef int one_piece(object data, Py_buffer *b, int flags, str call) except -1:
    try:
        return PyObject_GetBuffer(data, b, flags)
    except queue_errors.NamedShmError:
        raise
    except (BufferError, TypeError, ValueError) as error:
        kind = type(data).__name__
        if flags & PyBUF_WRITABLE:
            text = f"{call}() fills a buffer in one piece that can be written, such as a bytearray, not {kind}: {error}"
        elif isinstance(data, str):
            text = f"{call}() takes bytes, not str: pass text.encode(), and decode() what get() returns"
        elif isinstance(error, TypeError):
            text = f"{call}() takes bytes or another buffer, not {kind}: pickle.dumps(...) makes bytes of any object"
        else:
            text = f"{call}() takes a buffer in one piece (C-contiguous), which this {kind} is not: pass bytes(...) of it"
        raise TypeError(text) from None


@no_gc_clear
cdef class QueueHandle:
    """contract.QueueHandle"""
    cdef nshm_gate gate
    cdef nshm_queue q        # stays where it is; its threads may use it at once
    cdef bint nameless       # closed while somebody was in: the name is gone, the rest goes with the last one
    cdef int64_t slot_max    # bytes of the longest message that lies in a slot; -1: none does
    cdef readonly object name
    cdef readonly str access
    cdef readonly bint created
    cdef readonly object identity
    cdef object __weakref__

    def __cinit__(self, *args, **kwargs):
        nshm_gate_shut(&self.gate)

    def __init__(self, *args, **kwargs):
        raise TypeError("Queue objects are made by Queue.create() and Queue.open()")

    # Takes what a C call made; nothing in here gives the GIL away before it is owned.
    @final
    cdef int own(self, object name, str access, bint created, object identity) except -1:
        self.slot_max = nshm_queue_slot_max(&self.q)
        self.name = name
        self.access = access
        self.created = created
        self.identity = identity
        nshm_gate_open(&self.gate)
        return 0

    @property
    def closed(self):
        """Whether this handle was closed."""
        return bool(nshm_gate_closed(&self.gate))

    @property
    def capacity(self):
        """Messages it holds, at most: what was asked for, rounded up to a power of two."""
        return self.q.capacity

    @property
    def max_size(self):
        """Bytes of the longest message."""
        return self.q.message_max

    @property
    def slot_size(self):
        """Bytes: messages up to that long lie in the ring itself, without a chunk."""
        return max(self.slot_max, 0)

    @property
    def chunks(self):
        """How many longer messages there can be at one time: waiting, being filled and being read, together."""
        return self.q.chunks

    @property
    def max_participants(self):
        """How many handles can put or take at one time."""
        return self.q.participants

    @property
    def modes(self):
        """ack, ends, drop_oldest."""
        return (
            bool(self.q.mode & NSHM_QUEUE_ACK), bool(self.q.mode & NSHM_QUEUE_ENDS), bool(self.q.mode & NSHM_QUEUE_DROP_OLDEST))

    @property
    def spin_ns(self):
        return self.q.spin

    def spin_for(self, int64_t nanoseconds):
        self.q.spin = nanoseconds

    # ---- the gate
    @final
    cdef int enter(self, str call) except -1:
        if not nshm_gate_enter(&self.gate):
            raise self.failure(-EBADF, call)
        return 0

    @final
    cdef void leave(self) noexcept:
        if nshm_gate_leave(&self.gate):
            queue_drop(&self.q, self.nameless)

    def close(self):
        cdef Py_ssize_t others = nshm_gate_close(&self.gate)
        if others < 0:
            return
        if others:
            self.nameless = True
            queue_drop_name(&self.q)
        self.leave()

    def __dealloc__(self):
        if not nshm_gate_closed(&self.gate):
            nshm_gate_shut(&self.gate)
            queue_drop(&self.q, self.nameless)

    # ---- what went wrong: called by who is in, but for -EBADF
    @final
    cdef object failure(self, int code, str call):
        cdef nshm_queue_statistics s
        cdef str label = "an unnamed queue" if self.name is None else f"queue {self.name!r}"
        if code == -EAGAIN or code == -ETIMEDOUT:
            late = "" if code == -EAGAIN else ", and the time is up"
            if call == "get" or call == "take":
                return queue_empty(f"There is no message in {label}{late}: put one, or wait longer", name=self.name, call=call)
            nshm_queue_stat(&self.q, &s)
            if call == "loan" or s.waiting < self.q.capacity and not s.free_chunks:
                text = f"All {self.q.chunks} chunks of {label} are in use{late}: take messages, or create it with more chunks"
            else:
                text = f"There is no room in {label} of {self.q.capacity} messages{late}: take some, or wait longer"
            return queue_full(text, name=self.name, call=call)
        if code == -EPIPE:
            if call == "get" or call == "take":
                return queue_shut(f"Nothing comes any more from {label}: it was shut down, or all who put are gone",
                                  name=self.name, call=call)
            return queue_shut(f"Cannot {call}: {label} was shut down, and takes no more messages", name=self.name, call=call)
        if code == -EMSGSIZE:
            return queue_errors.InvalidArgument(
                f"Cannot {call}: messages of {label} have {self.q.message_max} bytes at most: create it with a larger max_size",
                name=self.name, call=call)
        if code == -ENFILE:
            return queue_errors.OutOfResources(
                f"Cannot {call}: {self.q.participants} handles take part in {label}, as many as there is room for: close some, or "
                "create it with more participants",
                winerror=queue_errors.ERROR_NO_SYSTEM_RESOURCES, errno=ENFILE, name=self.name, call=call)
        if code == -EACCES:
            return queue_errors.AccessDenied(
                f"Cannot {call}: this handle to {label} is for reading: open it with access 'write'", name=self.name, call=call)
        if code == -EBUSY:
            return queue_errors.OutOfResources(
                f"Cannot {call}: a process was stopped (SIGSTOP, debugger) in the midst of using {label}; continue or kill it, "
                "then try again",
                winerror=queue_errors.ERROR_NO_SYSTEM_RESOURCES, errno=EBUSY, name=self.name, call=call)
        if code == -EXDEV:
            return queue_errors.Unsupported(
                f"Cannot {call}: this thread has gone to another IPC namespace than {label} is in; do it where it was opened",
                errno=EXDEV, name=self.name, call=call)
        if code == -EINVAL and call == "loan":
            return queue_errors.Unsupported(
                f"Cannot loan: {label} has no chunks; create it with some, or put()", name=self.name, call=call)
        return queue_failure(code, call, self.name)

    # After a wait of one slice: is there another one?  Signal handlers run.
    @final
    cdef bint again(self, int r, int64_t slice, int64_t end, str call) except -1:
        if r != -EINTR and (r != -ETIMEDOUT or slice == end):
            return False
        PyErr_CheckSignals()
        if nshm_gate_closed(&self.gate):
            raise self.failure(-EBADF, call)
        return True

    # ---- putting
    def put(self, data, timeout=None):
        self.put_object(data, QUEUE_FOR_EVER if timeout is None else nanoseconds(timeout, "put", self.name))

    def put_nowait(self, data):
        self.put_object(data, 0)

    @final
    cdef int put_object(self, object data, int64_t patience) except -1:
        cdef Py_buffer b
        if PyBytes_CheckExact(data):
            return self.put_bytes(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), patience)
        one_piece(data, &b, PyBUF_SIMPLE, "put")
        try:
            return self.put_bytes(b.buf, b.len, patience)
        finally:
            PyBuffer_Release(&b)

    @final
    cdef int put_bytes(self, const void *data, uint64_t size, int64_t patience) except -1:
        cdef int64_t end = -1
        cdef int r = -EAGAIN
        self.enter("put")
        if <int64_t>size <= self.slot_max:
            r = nshm_queue_quick_put(&self.q, &data, &size, 1)
            if r == 1:
                self.leave()
                return 0
        try:
            if r == -EAGAIN:
                r = self.put_row(&data, &size, 1, patience, &end)
            if r < 0:
                raise self.failure(r, "put")
        finally:
            self.leave()
        return 0

    # Called by who is in: how many of n messages were put, one at least; or what came instead.
    @final
    cdef int put_row(self, const void **data, const uint64_t *sizes, int n, int64_t patience, int64_t *end) except? -1000:
        cdef int64_t slice
        cdef int r, k = 0
        while k < n and <int64_t>sizes[k] <= self.slot_max:
            k += 1
        if not k:
            r = self.put_chunk(data[0], sizes[0], patience, end)
            return r if r else 1
        r = nshm_queue_quick_put(&self.q, data, sizes, k)
        if r != -EAGAIN:
            return r
        end[0] = queue_end(patience, end[0])
        while True:
            slice = queue_slice(end[0])
            with nogil:
                r = nshm_queue_put_many(&self.q, data, sizes, k, slice)
            if not self.again(r, slice, end[0], "put"):
                return r

    @final
    cdef int put_chunk(self, const void *data, uint64_t size, int64_t patience, int64_t *end) except? -1000:
        cdef nshm_queue_window w
        cdef int r
        if size > self.q.message_max:
            return -EMSGSIZE
        r = self.borrow(&w, patience, end, "put")
        if r:
            return r
        if size > QUEUE_GIL_FREE_COPY:
            with nogil:
                memcpy(w.data, data, size)
        elif size:
            memcpy(w.data, data, size)
        r = -EAGAIN
        try:
            r = self.send(&w, size, patience, end, "put")
        finally:
            if r:
                self.give_up(&w, NSHM_PRODUCER, False)
        return r

    @final
    cdef int borrow(self, nshm_queue_window *w, int64_t patience, int64_t *end, str call) except? -1000:
        cdef int64_t slice
        cdef int r = nshm_queue_quick_loan(&self.q, w)
        if r != -EAGAIN:
            return r
        end[0] = queue_end(patience, end[0])
        while True:
            slice = queue_slice(end[0])
            with nogil:
                r = nshm_queue_loan(&self.q, w, slice)
            if not self.again(r, slice, end[0], call):
                return r

    @final
    cdef int send(self, nshm_queue_window *w, uint64_t size, int64_t patience, int64_t *end, str call) except? -1000:
        cdef int64_t slice
        cdef int r = nshm_queue_quick_commit(&self.q, w, size)
        if r != -EAGAIN:
            return r
        end[0] = queue_end(patience, end[0])
        while True:
            slice = queue_slice(end[0])
            with nogil:
                r = nshm_queue_commit(&self.q, w, size, slice)
            if not self.again(r, slice, end[0], call):
                return r

    # What a window shows is given up: 0, or what went wrong.  In a forked child it is the parent's, and stays that.
    @final
    cdef int give_up(self, nshm_queue_window *w, uint32_t role, bint deliver_again) noexcept:
        cdef int r = 0
        if w.chunk == NSHM_QUEUE_NONE or not nshm_queue_is_mine(&self.q, w, role):
            return 0
        if not deliver_again:
            r = nshm_queue_quick_release(&self.q, w, role)
            if r != -EAGAIN:
                return r
        with nogil:
            if role == NSHM_PRODUCER:
                r = nshm_queue_abandon(&self.q, w)
            else:
                r = nshm_queue_return(&self.q, w) if deliver_again else nshm_queue_release(&self.q, w)
        return r

    def put_many(self, messages, timeout=None):
        cdef int64_t patience = nanoseconds(timeout, "put_many", self.name), end = -1
        cdef const void *data[QUEUE_ROW]
        cdef uint64_t sizes[QUEUE_ROW]
        cdef Py_buffer views[QUEUE_ROW]
        cdef int n = 0, viewed = 0
        cdef Py_ssize_t put = 0
        cdef list kept = []  # the messages of this row: the caller's own list may change meanwhile
        cdef object wrong = None
        if isinstance(messages, (bytes, bytearray, str, memoryview)):
            raise TypeError(f"put_many() takes several messages in a list, not one {type(messages).__name__}: put() that")
        others = iter(messages)
        while True:
            try:
                try:
                    while n < QUEUE_ROW:
                        data_object = next(others, self)
                        if data_object is self:
                            break
                        kept.append(data_object)
                        if PyBytes_CheckExact(data_object):
                            data[n], sizes[n] = PyBytes_AS_STRING(data_object), PyBytes_GET_SIZE(data_object)
                        else:
                            one_piece(data_object, &views[viewed], PyBUF_SIMPLE, "put_many")
                            data[n], sizes[n] = views[viewed].buf, views[viewed].len
                            viewed += 1
                        n += 1
                except BaseException as error:  # those before it are put
                    wrong = error
                if n:
                    self.put_all(data, sizes, n, patience, &end, &put)
            finally:
                while viewed:
                    viewed -= 1
                    PyBuffer_Release(&views[viewed])
            if wrong is not None:
                raise wrong
            if n < QUEUE_ROW:
                return put
            n = 0
            kept.clear()

    @final
    cdef int put_all(
            self, const void **data, const uint64_t *sizes, int n, int64_t patience, int64_t *end, Py_ssize_t *put) except -1:
        cdef int k = 0, r = 0
        self.enter("put_many")
        try:
            while k < n:
                r = self.put_row(data + k, sizes + k, n - k, patience, end)
                if r < 0:
                    error = self.failure(r, "put_many")
                    if isinstance(error, queue_full) or isinstance(error, queue_shut):
                        error.done = put[0]
                    raise error
                k += r
                put[0] += r
        finally:
            self.leave()
        return 0

    # ---- taking
    # Called by who is in: the bytes of the next message; None, and then `w` has it in a chunk; or this handle: not at once.
    @final
    cdef object quick_fetch(self, nshm_queue_window *w, str call):
        cdef int64_t size = nshm_queue_next_length(&self.q)
        cdef object got = None
        cdef int r
        while True:
            if size >= 0:  # the message is copied once, to where it stays: both ends of these bytes have been touched
                got = PyBytes_FromStringAndSize(NULL, size)
                r = nshm_queue_quick_take(&self.q, PyBytes_AS_STRING(got), size, w, 1)
            else:
                r = nshm_queue_quick_take(&self.q, NULL, 0, w, 1)
            if r == 1:
                if w.chunk != NSHM_QUEUE_NONE:
                    return None
                return got if <int64_t>w.length == size else got[:w.length]
            if r == -EAGAIN:
                return self
            if r != -EMSGSIZE:
                raise self.failure(r, call)
            size = w.length  # another consumer was faster, and the next message is longer

    @final
    cdef object fetch(self, nshm_queue_window *w, int64_t patience, str call):
        cdef char room[NSHM_QUEUE_INLINE_MAX]
        cdef int64_t end, slice
        cdef int r
        cdef object got = self.quick_fetch(w, call)
        if got is not self:
            return got
        if patience and self.q.spin > 0 and nshm_queue_quick_look(&self.q):
            got = self.quick_fetch(w, call)
            if got is not self:
                return got
        end = queue_end(patience, -1)
        while True:
            slice = queue_slice(end)
            with nogil:
                r = nshm_queue_take_many(&self.q, room, sizeof(room), w, 1, slice)
            if not self.again(r, slice, end, call):
                break
        if r < 0:
            raise self.failure(r, call)
        return None if w.chunk != NSHM_QUEUE_NONE else PyBytes_FromStringAndSize(<char *>w.data, w.length)

    # The bytes of a message in a chunk, which is given back.
    @final
    cdef bytes copied(self, nshm_queue_window *w, str call):
        cdef bytes got
        cdef char *to
        cdef int r
        try:
            got = PyBytes_FromStringAndSize(NULL, w.length)
        except BaseException:  # with acknowledgement it comes again; without it is lost, as with a consumer that dies now
            self.give_up(w, NSHM_CONSUMER, self.q.mode & NSHM_QUEUE_ACK)
            raise
        to = PyBytes_AS_STRING(got)
        if w.length > QUEUE_GIL_FREE_COPY:
            with nogil:
                memcpy(to, w.data, w.length)
        else:
            memcpy(to, w.data, w.length)
        r = self.give_up(w, NSHM_CONSUMER, False)
        if r:
            raise self.failure(r, call)
        return got

    def get(self, timeout=None):
        return self.get_bytes(QUEUE_FOR_EVER if timeout is None else nanoseconds(timeout, "get", self.name))

    def get_nowait(self):
        return self.get_bytes(0)

    @final
    cdef object get_bytes(self, int64_t patience):
        cdef nshm_queue_window w
        cdef object got
        self.enter("get")
        try:
            got = self.fetch(&w, patience, "get")
            return self.copied(&w, "get") if got is None else got
        finally:
            self.leave()

    def get_many(self, most, timeout=None):
        cdef Py_ssize_t left = counted(most, "get_many", self.name)
        cdef int64_t patience = nanoseconds(timeout, "get_many", self.name)
        cdef nshm_queue_window w[QUEUE_ROW]
        cdef char room[QUEUE_ROOM]
        cdef list got = []
        cdef int r
        self.enter("get")
        try:
            first = self.fetch(w, patience, "get")
            got.append(self.copied(w, "get") if first is None else first)
            left -= 1
            while left > 0:
                r = nshm_queue_quick_take(&self.q, room, QUEUE_ROOM, w, <int>min(left, QUEUE_ROW))
                if r <= 0:
                    break  # what is wrong is said the next time: these messages are ours
                left -= r
                self.collect(got, w, r)
            return got
        finally:
            self.leave()

    @final
    cdef int collect(self, list got, nshm_queue_window *w, int n) except -1:
        cdef int k = 0
        try:
            while k < n:
                if w[k].chunk == NSHM_QUEUE_NONE:
                    got.append(PyBytes_FromStringAndSize(<char *>w[k].data, w[k].length))
                else:
                    got.append(self.copied(&w[k], "get"))
                k += 1
        finally:
            while k < n:  # no memory
                self.give_up(&w[k], NSHM_CONSUMER, self.q.mode & NSHM_QUEUE_ACK)
                k += 1
        return 0

    def get_into(self, buffer, timeout=None):
        cdef int64_t patience = nanoseconds(timeout, "get_into", self.name)
        cdef nshm_queue_window w
        cdef Py_buffer b
        cdef object got
        cdef Py_ssize_t size
        cdef int r
        one_piece(buffer, &b, PyBUF_WRITABLE, "get_into")
        try:
            if <uint64_t>b.len < self.q.message_max:  # a message that was taken and does not fit would be lost
                raise queue_errors.InvalidArgument(
                    f"Cannot get into a buffer of {b.len} bytes: messages of queue {self.name!r} have up to {self.q.message_max} "
                    "(max_size): make the buffer that long",
                    name=self.name, call="get_into")
            self.enter("get")
            try:
                got = self.fetch(&w, patience, "get")
                size = w.length
                if got is not None:
                    memcpy(b.buf, PyBytes_AS_STRING(got), size)
                    return size
                with nogil:
                    memcpy(b.buf, w.data, size)
                r = self.give_up(&w, NSHM_CONSUMER, False)
                if r:
                    raise self.failure(r, "get")
                return size
            finally:
                self.leave()
        finally:
            PyBuffer_Release(&b)

    # ---- windows
    def take(self, timeout=None):
        cdef int64_t patience = nanoseconds(timeout, "take", self.name)
        cdef QueueMessage message = <QueueMessage?>message_class.__new__(message_class)  # before anything is taken
        self.enter("take")
        try:
            message.kept = self.fetch(&message.w, patience, "take")
        except BaseException:
            self.leave()
            raise
        message.hold(self, message.w.length, NSHM_CONSUMER)
        return message

    def _get_or_take(self, timeout=None):
        """The bytes of a message that lay in a slot, or a window on one in a chunk: what costs least of both."""
        cdef int64_t patience = QUEUE_FOR_EVER if timeout is None else nanoseconds(timeout, "get", self.name)
        cdef nshm_queue_window w
        cdef QueueMessage message
        cdef object got
        cdef bint mine = False  # the window is, and nobody has it yet
        self.enter("get")
        try:
            got = self.fetch(&w, patience, "get")
            if got is None:
                mine = True
                message = <QueueMessage?>message_class.__new__(message_class)
                mine = False
                message.w = w
                message.hold(self, w.length, NSHM_CONSUMER)
                return message
        except BaseException:
            if mine:  # no memory: with acknowledgement it comes again
                self.give_up(&w, NSHM_CONSUMER, self.q.mode & NSHM_QUEUE_ACK)
            self.leave()
            raise
        self.leave()
        return got

    def loan(self, size=None, timeout=None):
        cdef uint64_t length = self.q.message_max if size is None else whole(size, "loan", self.name)
        cdef int64_t patience = nanoseconds(timeout, "loan", self.name), end = -1
        cdef QueueLoan loan = <QueueLoan?>loan_class.__new__(loan_class)
        cdef int r
        if length > self.q.message_max:
            raise self.failure(-EMSGSIZE, "loan")
        loan.patience = timeout
        self.enter("loan")
        try:
            r = self.borrow(&loan.w, patience, &end, "loan")
            if r:
                raise self.failure(r, "loan")
        except BaseException:
            self.leave()
            raise
        loan.sent = length
        loan.hold(self, length, NSHM_PRODUCER)
        return loan

    # ---- the rest
    def take_part(self, role):
        cdef uint32_t roles = {"producer": NSHM_PRODUCER, "consumer": NSHM_CONSUMER}.get(role, 0)
        cdef int r
        if not roles:
            raise queue_errors.InvalidArgument(f"role {role!r}: use 'producer' or 'consumer'", name=self.name, call="take_part")
        self.enter("take_part")
        try:
            while True:
                with nogil:
                    r = nshm_queue_join(&self.q, roles)
                if not self.again(r, 0, 0, "take_part"):
                    break
        finally:
            self.leave()
        if r:
            raise self.failure(r, "take_part")

    def shutdown(self, immediate=False):
        cdef uint32_t how = NSHM_QUEUE_STOP if immediate else NSHM_QUEUE_DRAIN
        cdef int r
        self.enter("shutdown")
        try:
            with nogil:
                r = nshm_queue_shut_down(&self.q, how)
        finally:
            self.leave()
        if r:
            raise self.failure(r, "shutdown")

    def look(self):
        """(messages in it, messages that were given back, how it was shut down: NSHM_QUEUE_DRAIN, NSHM_QUEUE_STOP, both or 0)."""
        cdef uint32_t count, again
        cdef int shut
        self.enter("look")
        count = nshm_queue_count(&self.q)
        again = nshm_queue_again(&self.q)
        shut = nshm_queue_is_shut(&self.q)
        self.leave()
        if shut & NSHM_QUEUE_STOP:
            return 0, 0, shut
        return count, again, shut

    def figures(self):
        cdef nshm_queue_statistics s
        self.enter("look")
        nshm_queue_stat(&self.q, &s)
        self.leave()
        return (s.put, s.got, s.put_bytes, s.got_bytes, s.redelivered, s.dropped, s.waiting, s.held, s.loaned, s.free_chunks,
                s.sleepers)

    def participants_now(self):
        cdef nshm_queue_participant p
        cdef uint32_t cursor = 0
        cdef list found = []
        cdef int r
        self.enter("look")
        try:
            while True:
                with nogil:  # the system is asked about each
                    r = nshm_queue_next_participant(&self.q, &cursor, &p)
                if r:
                    return found
                found.append((p.pid, p.maker, p.roles, bool(p.lives) if p.lives >= 0 else None))
        finally:
            self.leave()


# A number that Python gave; converting may run Python code.
cdef Py_ssize_t counted(object number, str call, object name) except -1:
    return checked_count(number, "most", call, name)


cdef uint64_t whole(object number, str call, object name) except? 0xFFFFFFFFFFFFFFFF:
    if isinstance(number, bool) or not hasattr(type(number), "__index__"):
        raise TypeError(f"{call}() takes a number of bytes, not {type(number).__name__}")
    value = number.__index__()
    if not 0 <= value < 0x7FFFFFFFFFFFFFFF:
        raise queue_errors.InvalidArgument(f"Cannot {call} {value} bytes: use 0 to max_size", name=name, call=call)
    return value


# ------------------------------------------------------------------------------------------------------------ windows
# Memory of the queue, lent to Python.  A window is in the gate of its handle; buffers taken from it are in its own gate.  Who lets
# go of it closes that gate, and the last one out gives the memory up: so nobody reads or writes what is somebody else's.
@no_gc_clear
cdef class QueueWindow:
    cdef nshm_gate gate
    cdef nshm_queue_window w
    cdef QueueHandle queue
    cdef bytes kept        # a message that lay in a slot: it was copied
    cdef Py_ssize_t size
    cdef uint32_t role
    cdef bint deliver_again, acknowledged
    cdef object __weakref__

    def __cinit__(self, *args, **kwargs):
        nshm_gate_shut(&self.gate)
        self.w.chunk = NSHM_QUEUE_NONE

    def __init__(self, *args, **kwargs):
        raise TypeError("Messages are made by Queue.take(), loans by Queue.loan()")

    @final
    cdef void hold(self, QueueHandle queue, Py_ssize_t size, uint32_t role) noexcept:
        self.queue = queue
        self.size = size
        self.role = role
        nshm_gate_open(&self.gate)

    # Called by who is in: 0, or what went wrong, which the last one cannot always tell anybody.
    @final
    cdef int leave(self) noexcept:
        cdef int r = 0
        if nshm_gate_leave(&self.gate):
            r = self.let_go()
        return r

    @final
    cdef int let_go(self) noexcept:
        # a message that was acknowledged while it had buffers is what a loan is since then
        cdef int r = self.queue.give_up(&self.w, NSHM_PRODUCER if self.acknowledged else self.role, self.deliver_again)
        self.queue.leave()
        return r

    @final
    cdef object refusal(self):
        what = "message was released" if self.role == NSHM_CONSUMER else "loan was put or abandoned"
        return queue_errors.ClosedHandle(
            f"This {what}: take the next one" if self.role == NSHM_CONSUMER else f"This {what}: borrow another one",
            name=None if self.queue is None else self.queue.name, call="window")

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        if not nshm_gate_enter(&self.gate):
            raise self.refusal()
        try:
            if self.kept is None and not nshm_queue_is_mine(&self.queue.q, &self.w, self.role):
                raise queue_errors.InvalidArgument(
                    "This window is the parent process's, which forked: what it shows may be another message by now",
                    name=self.queue.name, call="window")
            PyBuffer_FillInfo(buffer, self, <char *>self.kept if self.kept is not None else self.w.data, self.size,
                              self.role == NSHM_CONSUMER, flags)
        except BaseException:
            self.leave()
            raise

    def __releasebuffer__(self, Py_buffer *buffer):
        self.leave()

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        with PyMemoryView_FromObject(self) as view:
            found = view[index]
            if isinstance(index, slice):
                with found:
                    return bytes(found)
            return found


@no_gc_clear
cdef class QueueMessage(QueueWindow):
    @property
    def redelivered(self):
        """Whether it was taken before, by a consumer that died or gave it back."""
        return bool(self.w.redelivered)

    @property
    def position(self):
        """Its number in the queue."""
        return self.w.position

    @property
    def released(self):
        """Whether it was released or given back."""
        return bool(nshm_gate_closed(&self.gate))

    def release(self):
        self.end(False)

    def give_back(self):
        if self.queue is None or not self.queue.q.mode & NSHM_QUEUE_ACK:
            raise queue_errors.Unsupported(
                "Cannot give a message back: its queue has no acknowledgement; create it with ack=True", call="give_back")
        self.end(True)

    @final
    cdef int end(self, bint deliver_again) except -1:
        cdef Py_ssize_t others = nshm_gate_close(&self.gate)
        cdef int r
        if others < 0:
            return 0
        self.deliver_again = deliver_again
        if others and not deliver_again and self.queue.q.mode & NSHM_QUEUE_ACK:
            # It is done with now, also if this process dies before the last buffer is gone.  We are in: nobody else is last.
            if nshm_queue_is_mine(&self.queue.q, &self.w, NSHM_CONSUMER):
                self.acknowledged = nshm_queue_acknowledge(&self.queue.q, &self.w) == 0
        r = self.leave()
        if r:
            raise self.queue.failure(r, "release")
        return 0

    def __enter__(self):
        if nshm_gate_closed(&self.gate):
            raise self.refusal()
        return self

    def __exit__(self, kind, error, trace):
        if self.queue is None:
            raise self.refusal()
        self.end(kind is not None and self.queue.q.mode & NSHM_QUEUE_ACK != 0)

    def __del__(self):
        if nshm_gate_closed(&self.gate) or self.w.chunk == NSHM_QUEUE_NONE:
            return
        what = "it comes again" if self.queue.q.mode & NSHM_QUEUE_ACK else "it is lost"
        lost(self, f"a message of queue {self.queue.name!r} is collected that was not released, {what}: use 'with queue.take()'")

    def __dealloc__(self):
        if not nshm_gate_closed(&self.gate):
            nshm_gate_shut(&self.gate)
            self.deliver_again = self.queue.q.mode & NSHM_QUEUE_ACK != 0
            self.let_go()


@no_gc_clear
cdef class QueueLoan(QueueWindow):
    cdef uint64_t sent
    cdef public object patience  # seconds to wait for room at the end of the block
    cdef bint sending            # by _commit_lent()

    def __setitem__(self, index, value):
        with PyMemoryView_FromObject(self) as view:
            view[index] = value

    @property
    def length(self):
        """Bytes to be put."""
        return self.sent

    @length.setter
    def length(self, value):
        cdef uint64_t n
        if self.queue is None:
            raise self.refusal()
        n = whole(value, "put", self.queue.name)
        if n > <uint64_t>self.size:
            raise queue_errors.InvalidArgument(
                f"Cannot put {n} bytes of a loan of {self.size}: borrow more", name=self.queue.name, call="loan")
        self.sent = n

    @property
    def lender(self):
        return self.queue

    @property
    def ended(self):
        """Whether it was put or abandoned."""
        return bool(nshm_gate_closed(&self.gate))

    def commit(self, timeout=None):
        cdef int64_t patience = nanoseconds(timeout, "commit", None), end = -1
        cdef int alone = nshm_gate_close_alone(&self.gate), r = -EAGAIN
        if alone < 0:
            raise self.refusal()
        if not alone:
            raise BufferError(
                "A memoryview or an array of this loan is still there, and could change the message after it was put: release it "
                "(del) before")
        try:
            if nshm_gate_closed(&self.queue.gate):
                raise self.queue.failure(-EBADF, "put")
            if not nshm_queue_is_mine(&self.queue.q, &self.w, NSHM_PRODUCER):
                raise queue_errors.InvalidArgument(
                    "This loan is the parent process's, which forked: only there it can be put", name=self.queue.name, call="put")
            r = self.queue.send(&self.w, self.sent, patience, &end, "put")
        finally:
            if r:
                nshm_gate_open(&self.gate)  # it is still borrowed; nobody else came in meanwhile
        if r:
            raise self.queue.failure(r, "put")
        self.leave()

    def _commit_lent(self, timeout=None):
        """commit() though there are buffers: they keep the memory mapped, and show what lies in it then."""
        cdef int64_t patience = nanoseconds(timeout, "commit", None), end = -1
        cdef int r
        if nshm_gate_closed(&self.gate) or self.sending:
            raise self.refusal()
        self.sending = True  # the gate cannot be closed yet: after an error the loan is as it was
        try:
            if nshm_gate_closed(&self.queue.gate):
                raise self.queue.failure(-EBADF, "put")
            if not nshm_queue_is_mine(&self.queue.q, &self.w, NSHM_PRODUCER):
                raise queue_errors.InvalidArgument(
                    "This loan is the parent process's, which forked: only there it can be put", name=self.queue.name, call="put")
            r = self.queue.send(&self.w, self.sent, patience, &end, "put")
            if r:
                raise self.queue.failure(r, "put")
        finally:
            self.sending = False
        if nshm_gate_close(&self.gate) >= 0:
            self.leave()  # the chunk is the queue's: nothing is given up with the last one

    def abandon(self):
        cdef int r
        if nshm_gate_close(&self.gate) < 0:
            return
        r = self.leave()
        if r:
            raise self.queue.failure(r, "abandon")

    def __enter__(self):
        if nshm_gate_closed(&self.gate):
            raise self.refusal()
        return self

    def __exit__(self, kind, error, trace):
        if nshm_gate_closed(&self.gate):  # put or abandoned within the block
            return
        try:
            if kind is None:
                self.commit(self.patience)
        finally:
            self.abandon()

    def __del__(self):
        if not nshm_gate_closed(&self.gate):
            lost(self, f"a loan of queue {self.queue.name!r} is collected, and nothing was put: use 'with queue.loan()'")

    def __dealloc__(self):
        if not nshm_gate_closed(&self.gate):
            nshm_gate_shut(&self.gate)
            self.let_go()
