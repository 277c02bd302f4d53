# Topics: include/namedshm_topic.h as Python objects.  Made and opened in topics.pxi of the system.  Shared with queue.pxi, which
# stands before: times in slices, one_piece() and whole().
#
# The first try of every call keeps the GIL (topic_quick.h); what that says no to is done again without it, in slices, between which
# signal handlers run.  Everybody is in the handle's gate while he uses its memory, and so is every window for as long as it lasts.
#
# Values are bytes here.  What else they are a codec knows (topic.py): it is asked for room to copy to, and makes something of it.

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize

cdef extern from "namedshm_topic.h" nogil:
    enum:
        NSHM_TOPIC_ENDS
        NSHM_TOPIC_RAW
        NSHM_PINNER, NSHM_WRITER
        NSHM_TOPIC_INLINE_MAX
    uint32_t NSHM_TOPIC_NONE
    int64_t NSHM__AT_ONCE
    ctypedef struct nshm_topic_start:
        uint32_t history, inline_max, pins, writers, mode
        uint64_t value_max
        uint32_t schema_kind, schema_size
        const void *schema
    ctypedef struct nshm_topic:
        nshm_handle handle
        const void *schema
        uint32_t history, inline_max, frames, pins, writers, mode, schema_kind, schema_size
        uint64_t value_max
        int64_t spin
    ctypedef struct nshm_topic_window:
        void *data
        uint64_t length, number, missed
        int64_t time
        uint64_t holder
        uint32_t frame
    ctypedef struct nshm_topic_statistics:
        uint64_t published, bytes
        int64_t time
        uint32_t free_frames, loaned, pinned
        int ended
    ctypedef struct nshm_topic_participant:
        uint32_t role, maker
        int pid, lives
    int nshm_topic_join(nshm_topic *, uint32_t)
    int nshm_topic_publish(nshm_topic *, const void *, uint64_t, int64_t, uint64_t *)
    int nshm_topic_loan(nshm_topic *, nshm_topic_window *, int64_t)
    int nshm_topic_commit(nshm_topic *, nshm_topic_window *, uint64_t, int64_t)
    int nshm_topic_abandon(nshm_topic *, nshm_topic_window *)
    int nshm_topic_end(nshm_topic *)
    int nshm_topic_latest(const nshm_topic *, uint64_t, void *, uint64_t, nshm_topic_window *, int64_t)
    int nshm_topic_next(const nshm_topic *, uint64_t, void *, uint64_t, nshm_topic_window *, int64_t)
    int nshm_topic_valid(const nshm_topic *, const nshm_topic_window *)
    int nshm_topic_pin(nshm_topic *, uint64_t, void *, uint64_t, nshm_topic_window *, int64_t)
    int nshm_topic_pin_next(nshm_topic *, uint64_t, void *, uint64_t, nshm_topic_window *, int64_t)
    int nshm_topic_release(nshm_topic *, nshm_topic_window *)
    uint64_t nshm_topic_number(const nshm_topic *)
    uint64_t nshm_topic_lag(const nshm_topic *, uint64_t)
    void nshm_topic_stat(const nshm_topic *, nshm_topic_statistics *)
    int nshm_topic_waiting(const nshm_topic *)
    int nshm_topic_next_participant(const nshm_topic *, uint32_t *, nshm_topic_participant *)
    int nshm_topic_quick_publish(nshm_topic *, const void *, uint64_t)
    int nshm_topic_quick_loan(nshm_topic *, nshm_topic_window *)
    int nshm_topic_quick_find(const nshm_topic *, uint64_t, int, nshm_topic_window *)
    int nshm_topic_quick_pin(nshm_topic *, uint64_t, int, void *, uint64_t, nshm_topic_window *)
    int nshm_topic_is_mine(const nshm_topic *, const nshm_topic_window *, uint32_t)
    void nshm_topic_seen(uint64_t *, uint64_t *, uint64_t)

cdef enum:
    TOPIC_TRIES = 16  # a copy that was overtaken so often is made of a pinned value, or not at all

#: Set by topic.py: the errors for no frame, no value, the end, and what was overtaken; the classes of windows; what makes codecs.
cdef object topic_full, topic_empty, topic_shut, topic_overrun, topic_view_class, topic_loan_class, topic_codec


def set_topic_classes(full, empty, shut, overrun, view, loan, codec):
    global topic_full, topic_empty, topic_shut, topic_overrun, topic_view_class, topic_loan_class, topic_codec
    topic_full, topic_empty, topic_shut, topic_overrun = full, empty, shut, overrun
    topic_view_class, topic_loan_class, topic_codec = view, loan, codec


# A lock's deadline: of a wait without end the lock's own, after which it says who keeps it.
cdef inline int64_t topic_slice(int64_t end) noexcept:
    return NSHM__AT_ONCE if end == 0 else end if end == QUEUE_FOR_EVER else queue_slice(end)


cdef bint reads_topic(str call) noexcept:
    return call == "latest" or call == "next" or call == "view" or call == "pin"


@no_gc_clear
cdef class TopicHandle:
    """contract.TopicHandle"""
    cdef nshm_gate gate
    cdef nshm_topic t         # stays where it is; its threads may use it at once
    cdef bint nameless        # closed while somebody was in: the name is gone, the rest goes with the last one
    cdef uint64_t read_up_to  # the highest number that was read with this handle, and how many it has passed over
    cdef uint64_t passed
    cdef object made_codec
    cdef readonly object name
    cdef readonly str access
    cdef readonly bint created
    cdef readonly object identity
    cdef object __weakref__

    def __cinit__(self, *args, **kwargs):
        nshm_gate_shut(&self.gate)

    def __init__(self, *args, **kwargs):
        raise TypeError("Topic objects are made by Topic.create() and Topic.open()")

    # Takes what a C call made; nothing in here gives the GIL away before it is owned.
    @final
    cdef int own(self, object name, str access, bint created, object identity) except -1:
        cdef uint64_t number = nshm_topic_number(&self.t)
        self.read_up_to = number - 1 if number else 0  # who comes late gets the newest at once, and not what was before
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
    def history(self):
        """How many values can be read, the last ones."""
        return self.t.history

    @property
    def max_size(self):
        """Bytes of the longest value."""
        return self.t.value_max

    @property
    def pins(self):
        """How many values can be pinned at one time, by all readers together."""
        return self.t.pins

    @property
    def writers(self):
        """How many values can be filled at one time, by all writers together."""
        return self.t.writers

    @property
    def end_with_writers(self):
        """Whether it is over when all its writers are gone."""
        return bool(self.t.mode & NSHM_TOPIC_ENDS)

    @property
    def schema_kind(self):
        return self.t.schema_kind

    def schema_bytes(self):
        self.enter("look")
        try:
            return PyBytes_FromStringAndSize(<const char *>self.t.schema, self.t.schema_size)
        finally:
            self.leave()

    @property
    def codec(self):
        """What makes values of bytes; None: they are bytes.  Raises InvalidContent: the schema says nothing that is known."""
        if self.made_codec is None and self.t.schema_kind != NSHM_TOPIC_RAW:
            self.made_codec = topic_codec(self)
        return self.made_codec

    @property
    def spin_ns(self):
        return self.t.spin

    def spin_for(self, int64_t nanoseconds):
        self.t.spin = nanoseconds

    # ---- the gate
    @final
    cdef int enter(self, str call) except -1:
        if not nshm_gate_enter(&self.gate):
            raise self.failure(-EBADF, call)
        return 0

    @final
    cdef void leave(self) noexcept:
        if nshm_gate_leave(&self.gate):
            topic_drop(&self.t, self.nameless)

    def close(self):
        cdef Py_ssize_t others = nshm_gate_close(&self.gate)
        if others < 0:
            return
        if others:
            self.nameless = True
            topic_drop_name(&self.t)
        self.leave()

    def __dealloc__(self):
        if not nshm_gate_closed(&self.gate):
            nshm_gate_shut(&self.gate)
            topic_drop(&self.t, self.nameless)

    # ---- what went wrong
    @final
    cdef str label(self):
        return "an unnamed topic" if self.name is None else f"topic {self.name!r}"

    @final
    cdef object failure(self, int code, str call):
        cdef str label = self.label()
        if code == -EAGAIN or code == -ETIMEDOUT:
            late = "" if code == -EAGAIN else ", and the time is up"
            if reads_topic(call):
                return topic_empty(
                    f"There is no new value in {label}{late}: publish one, or wait longer", name=self.name, call=call)
            return topic_full(
                f"Cannot {call}: all {self.t.writers} values that can be filled at one time in {label} are, or somebody is "
                f"publishing{late}: wait longer, or create it with more writers",
                name=self.name, call=call)
        if code == -EPIPE:
            if reads_topic(call):
                return topic_shut(f"Nothing comes any more from {label}: it was shut down, or its writers are gone",
                                  name=self.name, call=call)
            return topic_shut(f"Cannot {call}: {label} was shut down, and takes no more values", name=self.name, call=call)
        if code == -EMSGSIZE:
            return queue_errors.InvalidArgument(
                f"Cannot {call}: values of {label} have {self.t.value_max} bytes at most: create it with a larger max_size",
                name=self.name, call=call)
        if code == -ENFILE:
            what, n = ("pins", self.t.pins) if call == "pin" else ("writers", self.t.writers)
            return queue_errors.OutOfResources(
                f"Cannot {call}: all {n} {what} of {label} are in use: release some, or create it with more {what}",
                winerror=queue_errors.ERROR_NO_SYSTEM_RESOURCES, errno=ENFILE, name=self.name, call=call)
        if code == -EACCES:
            return queue_errors.AccessDenied(
                f"Cannot {call}: this handle to {label} is for reading: open it with access 'write'", name=self.name, call=call)
        if code == -EBUSY:
            if call == "latest" or call == "next" or call == "view":
                return self.overtaken(self.read_up_to, call)
            return queue_errors.OutOfResources(
                f"Cannot {call}: a process was stopped (SIGSTOP, debugger) in the midst of using {label}; continue or kill it, "
                "then try again",
                winerror=queue_errors.ERROR_NO_SYSTEM_RESOURCES, errno=EBUSY, name=self.name, call=call)
        if code == -EXDEV:
            return queue_errors.Unsupported(
                f"Cannot {call}: this thread has gone to another IPC namespace than {label} is in; do it where it was opened",
                errno=EXDEV, name=self.name, call=call)
        if code == -EINVAL and call == "pin":
            return queue_errors.Unsupported(
                f"Cannot pin: {label} was created with pins=0; use latest(), or create it with some", name=self.name, call=call)
        return topic_failure(code, call, self.name)

    # Called by who is in.
    @final
    cdef object overtaken(self, uint64_t number, str call):
        cdef uint64_t missed = nshm_topic_lag(&self.t, number)
        error = topic_overrun(
            f"A value of {self.label()} was overtaken while it was read, {missed} came since: what was computed of it does not "
            "count. Be quicker, pin() it, or create it with more history",
            name=self.name, call=call)
        error.missed = missed
        return error

    # After a wait of one slice: is there another one?  Signal handlers run.
    @final
    cdef bint again(self, int r, int64_t slice, int64_t end, str call) except -1:
        if r != -EINTR and (r != -ETIMEDOUT or slice == end or end == 0):
            return False
        PyErr_CheckSignals()
        if nshm_gate_closed(&self.gate):
            raise self.failure(-EBADF, call)
        return True

    # ---- publishing
    def publish(self, data, timeout=None):
        cdef int64_t patience = QUEUE_FOR_EVER if timeout is None else nanoseconds(timeout, "publish", self.name)
        codec = self.codec
        if codec is None:
            self.publish_object(data, patience)
        else:
            codec.publish(self, data, timeout)

    def publish_buffer(self, data, timeout=None):
        """A value's bytes, whatever the schema says; for codecs."""
        self.publish_object(data, nanoseconds(timeout, "publish", self.name))

    @final
    cdef int publish_object(self, object data, int64_t patience) except -1:
        cdef Py_buffer b
        if PyBytes_CheckExact(data):
            return self.publish_bytes(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), patience)
        one_piece(data, &b, PyBUF_SIMPLE, "publish")
        try:
            return self.publish_bytes(b.buf, b.len, patience)
        finally:
            PyBuffer_Release(&b)

    @final
    cdef int publish_bytes(self, const void *data, uint64_t size, int64_t patience) except -1:
        cdef int64_t end = -1
        cdef int r
        self.enter("publish")
        try:
            r = self.send_bytes(data, size, patience, &end)
            if r:
                raise self.failure(r, "publish")
        finally:
            self.leave()
        return 0

    # Called by who is in.
    @final
    cdef int send_bytes(self, const void *data, uint64_t size, int64_t patience, int64_t *end) except? -1000:
        cdef nshm_topic_window w
        cdef int64_t slice
        cdef int r
        if size > self.t.value_max:
            return -EMSGSIZE
        if size <= self.t.inline_max:
            r = nshm_topic_quick_publish(&self.t, data, size)
            if r != -EAGAIN:
                return r
            end[0] = queue_end(patience, end[0])
            while True:
                slice = topic_slice(end[0])
                with nogil:
                    r = nshm_topic_publish(&self.t, data, size, slice, NULL)
                if not self.again(r, slice, end[0], "publish"):
                    return r
        r = self.borrow(&w, patience, end, "publish")
        if r:
            return r
        if size > QUEUE_GIL_FREE_COPY:
            with nogil:
                memcpy(w.data, data, size)
        elif size:
            memcpy(w.data, data, size)
        r = -EAGAIN
        try:
            r = self.send(&w, size, patience, end)
        finally:
            if r:
                self.give_up(&w, NSHM_WRITER)
        return r

    @final
    cdef int borrow(self, nshm_topic_window *w, int64_t patience, int64_t *end, str call) except? -1000:
        cdef int64_t slice
        cdef int r = nshm_topic_quick_loan(&self.t, w)
        if r != -EAGAIN:
            return r
        end[0] = queue_end(patience, end[0])
        while True:
            slice = queue_slice(end[0])
            with nogil:
                r = nshm_topic_loan(&self.t, w, slice)
            if not self.again(r, slice, end[0], call):
                return r

    @final
    cdef int send(self, nshm_topic_window *w, uint64_t size, int64_t patience, int64_t *end) except? -1000:
        cdef int64_t slice
        cdef int r = nshm_topic_commit(&self.t, w, size, NSHM__AT_ONCE)
        if r != -ETIMEDOUT:
            return r
        end[0] = queue_end(patience, end[0])
        while True:
            slice = topic_slice(end[0])
            with nogil:
                r = nshm_topic_commit(&self.t, w, size, slice)
            if not self.again(r, slice, end[0], "publish"):
                return r

    # What a window shows is given up.  In a forked child it is the parent's, and stays that.
    @final
    cdef int give_up(self, nshm_topic_window *w, uint32_t role) noexcept:
        if not nshm_topic_is_mine(&self.t, w, role):
            return 0
        return nshm_topic_abandon(&self.t, w) if role == NSHM_WRITER else nshm_topic_release(&self.t, w)

    def _lend(self, size=None, timeout=None):
        cdef uint64_t length = self.t.value_max if size is None else whole(size, "loan", self.name)
        cdef int64_t patience = nanoseconds(timeout, "loan", self.name), end = -1
        cdef TopicLoan loan = <TopicLoan?>topic_loan_class.__new__(topic_loan_class)
        cdef int r
        if length > self.t.value_max:
            raise self.failure(-EMSGSIZE, "loan")
        loan.patience = timeout
        if not self.t.frames:  # all values are short: filled here, and copied when it is published
            loan.own = PyByteArray_FromStringAndSize(NULL, self.t.value_max)
            memset(PyByteArray_AS_STRING(loan.own), 0, self.t.value_max)
        self.enter("loan")
        try:
            if loan.own is None:
                r = self.borrow(&loan.w, patience, &end, "loan")
            else:
                with nogil:
                    r = nshm_topic_join(&self.t, NSHM_WRITER)
            if r:
                raise self.failure(r, "loan")
        except BaseException:
            self.leave()
            raise
        loan.sent = length
        loan.hold(self, length)
        return loan

    # ---- reading
    # Called by who is in: where a value lies.
    @final
    cdef int find(self, nshm_topic_window *w, uint64_t after, bint oldest, int64_t patience, int64_t *end, str call) except? -1000:
        cdef int64_t slice
        cdef int r = nshm_topic_quick_find(&self.t, after, oldest, w)
        if r != -EAGAIN:
            return r
        end[0] = queue_end(patience, end[0])
        while True:
            slice = queue_slice(end[0])
            with nogil:
                if oldest:
                    r = nshm_topic_next(&self.t, after, NULL, 0, w, slice)
                else:
                    r = nshm_topic_latest(&self.t, after, NULL, 0, w, slice)
            if not self.again(r, slice, end[0], call):
                return r

    # The same, pinned; what lies in the ring is copied to `room`, of NSHM_TOPIC_INLINE_MAX bytes.
    @final
    cdef int find_pinned(
            self, nshm_topic_window *w, uint64_t after, bint oldest, void *room, int64_t patience, int64_t *end,
            str call) except? -1000:
        cdef int64_t slice
        cdef int r = nshm_topic_quick_pin(&self.t, after, oldest, room, NSHM_TOPIC_INLINE_MAX, w)
        if r != -EAGAIN:
            return r
        end[0] = queue_end(patience, end[0])
        while True:
            slice = queue_slice(end[0])
            with nogil:
                if oldest:
                    r = nshm_topic_pin_next(&self.t, after, room, NSHM_TOPIC_INLINE_MAX, w, slice)
                else:
                    r = nshm_topic_pin(&self.t, after, room, NSHM_TOPIC_INLINE_MAX, w, slice)
            if not self.again(r, slice, end[0], call):
                return r

    # 1: all of it is what was published.
    @final
    cdef bint copied(self, void *to, const nshm_topic_window *w) noexcept:
        if w.length > QUEUE_GIL_FREE_COPY:
            with nogil:
                memcpy(to, w.data, w.length)
        elif w.length:
            memcpy(to, w.data, w.length)
        return nshm_topic_valid(&self.t, w)

    # A whole copy of a value: an object that `codec` makes of the room that it gave, or bytes; or, into `out`, how many bytes.
    @final
    cdef object value(self, bint oldest, bint anything, int64_t patience, str call, Py_buffer *out):
        cdef char room[NSHM_TOPIC_INLINE_MAX]
        cdef nshm_topic_window w
        cdef Py_buffer b
        cdef int64_t end = -1
        cdef int r, tries = 0
        cdef bint pinned = False, good = False
        cdef uint64_t after
        cdef object codec = None if out != NULL else self.codec
        cdef object got = None
        self.enter(call)
        try:
            while not good:
                after = 0 if anything else nshm__load64(&self.read_up_to)
                if pinned:
                    r = self.find_pinned(&w, after, oldest, room, patience, &end, call)
                else:
                    r = self.find(&w, after, oldest, patience, &end, call)
                if r:
                    raise self.failure(r, call)
                try:
                    if out != NULL:
                        if <uint64_t>out.len < w.length:
                            raise queue_errors.InvalidArgument(
                                f"Cannot read into a buffer of {out.len} bytes: the value of {self.label()} has {w.length}: make "
                                "it longer (max_size is always enough)",
                                name=self.name, call=call)
                        good = self.copied(out.buf, &w)
                    elif codec is None:
                        got = PyBytes_FromStringAndSize(NULL, w.length)
                        good = self.copied(PyBytes_AS_STRING(got), &w)
                    else:
                        got = codec.room(self, w.length)
                        PyObject_GetBuffer(got, &b, PyBUF_WRITABLE)
                        try:
                            if <uint64_t>b.len != w.length:
                                raise AssertionError
                            good = self.copied(b.buf, &w)
                        finally:
                            PyBuffer_Release(&b)
                finally:
                    if pinned:
                        self.give_up(&w, NSHM_PINNER)
                if not good:
                    tries += 1
                    if tries == TOPIC_TRIES:
                        if not self.t.pins or self.t.handle.readonly:
                            raise self.overtaken(w.number, call)
                        pinned = True
                    PyErr_CheckSignals()
            nshm_topic_seen(&self.read_up_to, &self.passed, w.number)
        finally:
            self.leave()
        if out != NULL:
            return w.length
        return got if codec is None else codec.made(self, got)

    def latest(self, timeout=None, *, bint new=False):
        return self.value(
            False, not new, QUEUE_FOR_EVER if timeout is None else nanoseconds(timeout, "latest", self.name), "latest", NULL)

    def next(self, timeout=None):
        return self.value(
            True, False, QUEUE_FOR_EVER if timeout is None else nanoseconds(timeout, "next", self.name), "next", NULL)

    @final
    cdef object into(self, object out, object timeout, bint oldest, bint anything, str call):
        cdef int64_t patience = nanoseconds(timeout, call, self.name)
        cdef Py_buffer b
        codec = self.codec
        if codec is not None:
            out = codec.target(self, out)
        one_piece(out, &b, PyBUF_WRITABLE, call + "_into")
        try:
            return self.value(oldest, anything, patience, call, &b)
        finally:
            PyBuffer_Release(&b)

    def latest_into(self, out, timeout=None, *, bint new=False):
        return self.into(out, timeout, False, not new, "latest")

    def next_into(self, out, timeout=None):
        return self.into(out, timeout, True, False, "next")

    # A value where it lies; one that lies in the ring is copied.
    @final
    cdef object window(self, str which, object timeout, bint pinned, str call):
        cdef int64_t patience = nanoseconds(timeout, call, self.name), end = -1
        cdef char room[NSHM_TOPIC_INLINE_MAX]
        cdef TopicView view = <TopicView?>topic_view_class.__new__(topic_view_class)
        cdef bint oldest = which == "next", good = False
        cdef int r, tries = 0
        cdef uint64_t after
        if which != "latest" and which != "new" and which != "next":
            raise queue_errors.InvalidArgument(f"which={which!r}: use 'latest', 'new' or 'next'", name=self.name, call=call)
        codec = self.codec
        if codec is not None and not pinned:
            codec.viewed(self)
        self.enter(call)
        try:
            while not good:
                after = 0 if which == "latest" else nshm__load64(&self.read_up_to)
                if pinned:
                    r = self.find_pinned(&view.w, after, oldest, room, patience, &end, call)
                else:
                    r = self.find(&view.w, after, oldest, patience, &end, call)
                if r:
                    raise self.failure(r, call)
                good = view.w.frame != NSHM_TOPIC_NONE
                if good:
                    break
                try:
                    view.kept = PyBytes_FromStringAndSize(<char *>view.w.data, view.w.length)
                finally:
                    good = pinned or nshm_topic_valid(&self.t, &view.w)
                tries += 1
                if not good and tries == TOPIC_TRIES:
                    raise self.overtaken(view.w.number, call)
            nshm_topic_seen(&self.read_up_to, &self.passed, view.w.number)
        except BaseException:
            self.give_up(&view.w, NSHM_PINNER)
            self.leave()
            raise
        view.hold(self, view.w.length)
        return view

    def view(self, timeout=None, *, str which not None="latest"):
        return self.window(which, timeout, False, "view")

    def pin(self, timeout=None, *, str which not None="latest"):
        return self.window(which, timeout, True, "pin")

    # ---- where this reader is
    @property
    def position(self):
        """The number of the value that was read last with this handle; 0: none."""
        return nshm__load64(&self.read_up_to)

    @position.setter
    def position(self, value):
        cdef uint64_t n = whole(value, "position", self.name)
        cdef uint64_t last
        self.enter("position")
        last = nshm_topic_number(&self.t)
        self.leave()
        if n > last:
            raise queue_errors.InvalidArgument(
                f"position={n}: the last value of {self.label()} has number {last}, use 0 to that", name=self.name, call="position")
        nshm__store64(&self.read_up_to, n)

    @property
    def missed(self):
        """How many values this handle has passed over, between those it has read."""
        return nshm__load64(&self.passed)

    @property
    def lag(self):
        """How many values are newer than the one that was read last with this handle."""
        cdef uint64_t lag
        self.enter("look")
        lag = nshm_topic_lag(&self.t, nshm__load64(&self.read_up_to))
        self.leave()
        return lag

    # ---- the rest
    def take_part(self):
        cdef int r
        self.enter("take_part")
        try:
            while True:
                with nogil:
                    r = nshm_topic_join(&self.t, NSHM_WRITER)
                if not self.again(r, 0, 0, "take_part"):
                    break
        finally:
            self.leave()
        if r:
            raise self.failure(r, "take_part")

    def shutdown(self):
        cdef int r
        self.enter("shutdown")
        try:
            with nogil:
                r = nshm_topic_end(&self.t)
        finally:
            self.leave()
        if r:
            raise self.failure(r, "shutdown")

    def figures(self):
        """published, bytes, when the last one was (CLOCK_MONOTONIC nanoseconds; 0: never), frames free, lent, pinned, shut down."""
        cdef nshm_topic_statistics s
        self.enter("look")
        nshm_topic_stat(&self.t, &s)
        self.leave()
        return s.published, s.bytes, s.time, s.free_frames, s.loaned, s.pinned, bool(s.ended)

    def waiting(self):
        """How many threads sleep for a value."""
        cdef int n
        self.enter("look")
        n = nshm_topic_waiting(&self.t)
        self.leave()
        return max(n, 0)

    def participants_now(self):
        cdef nshm_topic_participant p
        cdef uint32_t cursor = 0
        cdef list found = []
        cdef int r
        self.enter("look")
        try:
            while True:
                with nogil:  # the system is asked about each
                    r = nshm_topic_next_participant(&self.t, &cursor, &p)
                if r:
                    return found
                found.append((p.pid, p.maker, p.role, bool(p.lives) if p.lives >= 0 else None))
        finally:
            self.leave()


# ------------------------------------------------------------------------------------------------------------ windows
# Memory of the topic, lent to Python.  A window is in the gate of its handle; buffers taken from it are in its own gate.  Who lets
# go of it closes that gate, and the last one out gives the memory up: so nobody writes what is somebody else's.
@no_gc_clear
cdef class TopicWindow:
    cdef nshm_gate gate
    cdef nshm_topic_window w
    cdef TopicHandle topic
    cdef Py_ssize_t size
    cdef object __weakref__

    def __cinit__(self, *args, **kwargs):
        nshm_gate_shut(&self.gate)
        self.w.frame = NSHM_TOPIC_NONE

    def __init__(self, *args, **kwargs):
        raise TypeError("Views are made by Topic.view() and Topic.pin(), loans by Topic.loan()")

    @final
    cdef void hold(self, TopicHandle topic, Py_ssize_t size) noexcept:
        self.topic = topic
        self.size = size
        nshm_gate_open(&self.gate)

    cdef uint32_t role(self) noexcept:
        return NSHM_PINNER

    # Called by who is in.
    @final
    cdef int leave(self) noexcept:
        cdef int r = 0
        if nshm_gate_leave(&self.gate):
            r = self.let_go()
        return r

    @final
    cdef int let_go(self) noexcept:
        cdef int r = self.topic.give_up(&self.w, self.role())
        self.topic.leave()
        return r

    cdef object refusal(self):
        return queue_errors.ClosedHandle(
            "This view has ended: make the next one", name=None if self.topic is None else self.topic.name, call="window")

    @property
    def ended(self):
        """Whether its block is over, or it was ended before."""
        return bool(nshm_gate_closed(&self.gate))

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
cdef class TopicView(TopicWindow):
    cdef bytes kept  # a value that lay in the ring: it was copied, whole

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        if not nshm_gate_enter(&self.gate):
            raise self.refusal()
        try:
            if self.w.holder and not nshm_topic_is_mine(&self.topic.t, &self.w, NSHM_PINNER):
                raise queue_errors.InvalidArgument(
                    "This pin is the parent process's, which forked: what it shows may be another value by now",
                    name=self.topic.name, call="window")
            PyBuffer_FillInfo(buffer, self, <char *>self.kept if self.kept is not None else self.w.data, self.size, True, flags)
        except BaseException:
            self.leave()
            raise

    @property
    def number(self):
        """The value's number in the topic, from 1 on."""
        return self.w.number

    @property
    def time(self):
        """When it was published: seconds of time.monotonic()."""
        return self.w.time / 1e9

    @property
    def pinned(self):
        """Whether it cannot be overtaken: it is pinned, or was short and copied."""
        return self.w.holder != 0 or self.kept is not None

    # Called by who is in the topic.
    @final
    cdef bint stands(self) noexcept:
        return self.kept is not None or nshm_topic_valid(&self.topic.t, &self.w)

    def check(self):
        if nshm_gate_closed(&self.gate):
            raise self.refusal()
        if not self.stands():
            raise self.topic.overtaken(self.w.number, "view")

    def release(self):
        self.end(None)

    # The last look: what was read before it is what was published, or Overrun.
    @final
    cdef int end(self, object kind) except -1:
        cdef Py_ssize_t others = nshm_gate_close(&self.gate)
        cdef object wrong = None
        if others < 0:
            return 0
        try:
            if not self.stands() and (kind is None or issubclass(kind, Exception)):
                wrong = self.topic.overtaken(self.w.number, "view")
        finally:
            self.leave()
        if wrong is not None:
            raise wrong
        return 0

    def __enter__(self):
        if nshm_gate_closed(&self.gate):
            raise self.refusal()
        codec = self.topic.codec
        if codec is None:
            return self
        try:
            return codec.shown(self.topic, self)
        except BaseException as error:
            self.end(type(error))
            raise

    def __exit__(self, kind, error, trace):
        if self.topic is None:
            raise self.refusal()
        self.end(kind)

    def __del__(self):
        if not nshm_gate_closed(&self.gate) and self.w.holder:
            lost(self, f"a pin of topic {self.topic.name!r} is collected that was not released: use 'with topic.pin()'")

    def __dealloc__(self):
        if not nshm_gate_closed(&self.gate):
            nshm_gate_shut(&self.gate)
            self.let_go()


@no_gc_clear
cdef class TopicLoan(TopicWindow):
    cdef bytearray own           # of a topic without frames
    cdef uint64_t sent
    cdef public object patience  # seconds to wait at the end of the block
    cdef bint sending            # by _commit_lent()

    cdef uint32_t role(self) noexcept:
        return NSHM_WRITER

    cdef object refusal(self):
        return queue_errors.ClosedHandle(
            "This loan was published or abandoned: borrow another one", name=None if self.topic is None else self.topic.name,
            call="window")

    @final
    cdef int check_mine(self, str call) except -1:
        if self.own is None and not nshm_topic_is_mine(&self.topic.t, &self.w, NSHM_WRITER):
            raise queue_errors.InvalidArgument(
                "This loan is the parent process's, which forked: only there it can be published", name=self.topic.name, call=call)
        return 0

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        if not nshm_gate_enter(&self.gate):
            raise self.refusal()
        try:
            self.check_mine("window")
            PyBuffer_FillInfo(
                buffer, self, self.w.data if self.own is None else <void *>PyByteArray_AS_STRING(self.own), self.size, False, flags)
        except BaseException:
            self.leave()
            raise

    def __setitem__(self, index, value):
        with PyMemoryView_FromObject(self) as view:
            view[index] = value

    @property
    def length(self):
        """Bytes to be published."""
        return self.sent

    @length.setter
    def length(self, value):
        cdef uint64_t n
        if self.topic is None:
            raise self.refusal()
        n = whole(value, "publish", self.topic.name)
        if n > <uint64_t>self.size:
            raise queue_errors.InvalidArgument(
                f"Cannot publish {n} bytes of a loan of {self.size}: borrow more", name=self.topic.name, call="loan")
        self.sent = n

    @final
    cdef int send(self, int64_t patience) except -1:
        cdef int64_t end = -1
        cdef int r
        if nshm_gate_closed(&self.topic.gate):
            raise self.topic.failure(-EBADF, "publish")
        self.check_mine("publish")
        if self.own is None:
            r = self.topic.send(&self.w, self.sent, patience, &end)
        else:
            r = self.topic.send_bytes(PyByteArray_AS_STRING(self.own), self.sent, patience, &end)
        if r:
            raise self.topic.failure(r, "publish")
        return 0

    def commit(self, timeout=None):
        cdef int64_t patience = nanoseconds(timeout, "commit", None)
        cdef int alone = nshm_gate_close_alone(&self.gate)
        if alone < 0:
            raise self.refusal()
        if not alone:
            raise BufferError(
                "A memoryview or an array of this loan is still there, and could change the value after it was published: release "
                "it (del) before")
        try:
            self.send(patience)
        except BaseException:
            nshm_gate_open(&self.gate)  # it is still borrowed; nobody else came in meanwhile
            raise
        self.leave()

    def _commit_lent(self, timeout=None):
        """commit() though there are buffers: they keep the memory mapped, and show what lies in it then."""
        cdef int64_t patience = nanoseconds(timeout, "commit", None)
        if nshm_gate_closed(&self.gate) or self.sending:
            raise self.refusal()
        self.sending = True  # the gate cannot be closed yet: after an error the loan is as it was
        try:
            self.send(patience)
        finally:
            self.sending = False
        if nshm_gate_close(&self.gate) >= 0:
            self.leave()  # the frame is the topic's: nothing is given up with the last one

    def abandon(self):
        cdef int r
        if nshm_gate_close(&self.gate) < 0:
            return
        r = self.leave()
        if r:
            raise self.topic.failure(r, "abandon")

    def __enter__(self):
        if nshm_gate_closed(&self.gate):
            raise self.refusal()
        return self

    def __exit__(self, kind, error, trace):
        if nshm_gate_closed(&self.gate):  # published or abandoned within the block
            return
        try:
            if kind is None:
                self.commit(self.patience)
        finally:
            self.abandon()

    def __del__(self):
        if not nshm_gate_closed(&self.gate):
            lost(self, f"a loan of topic {self.topic.name!r} is collected, and nothing was published: use 'with topic.loan()'")

    def __dealloc__(self):
        if not nshm_gate_closed(&self.gate):
            nshm_gate_shut(&self.gate)
            self.let_go()
