# Queues of Linux: made, opened, let go of; the class is in ../queue.pxi.  Part of native.pyx, for the scopes are there.

cdef extern from "namedshm_queue.h" nogil:
    int nshm_queue_size(const nshm_queue_start *, uint64_t *)
    int nshm_queue_create(nshm_scope *, const char *, size_t, unsigned, int64_t, int, const nshm_queue_start *, nshm_queue *)
    int nshm_queue_open(nshm_scope *, const char *, size_t, int, nshm_queue *)
    void nshm_queue_close(nshm_queue *)


# An error that is not the queue's own.
cdef object queue_failure(int code, str call, object name):
    return explain(code, "wait-sync" if code == -ENOSYS else call, name, 0)


# By the last one out.  From here on it is in flight: a child that is forked meanwhile drops it.
cdef void queue_drop(nshm_queue *q, bint nameless) noexcept:
    if nameless:
        q.handle.token = NULL
    nshm_flight_begin(&q.handle)
    with nogil:
        nshm_queue_close(q)
    nshm_flight_end(&q.handle)


# The name goes at once, although others use the memory.
cdef void queue_drop_name(nshm_queue *q) noexcept:
    drop_name(q.handle)


# 0, or what went wrong; the handle is left in flight.  See make_object and find_object.
cdef int make_queue(nshm_scope *s, bytes name, unsigned mode, int64_t group, int flags, nshm_queue_start *start,
                    nshm_queue *q) except 1:
    cdef const char *bare = name
    cdef size_t n = len(name)
    cdef int r
    if s.group == NSHM_GROUP_UNKNOWN:
        r = find_queue(s, name, flags, q)
        if r != -ENOENT:
            if r == 0 and flags & NSHM_EXCLUSIVE:
                with nogil:
                    nshm_queue_close(q)
                nshm_flight_end(&q.handle)
                r = -EEXIST
            return r
        global_policy.group()
    while True:
        nshm_flight_begin(&q.handle)
        with nogil:
            r = nshm_queue_create(s, bare, n, mode, group, flags, start, q)
        if r < 0:
            nshm_flight_end(&q.handle)
        if r != -EINTR:
            return r
        PyErr_CheckSignals()


cdef int find_queue(nshm_scope *s, bytes name, int flags, nshm_queue *q) except 1:
    cdef const char *bare = name
    cdef size_t n = len(name)
    cdef int r
    while True:
        nshm_flight_begin(&q.handle)
        with nogil:
            r = nshm_queue_open(s, bare, n, flags, q)
        if r < 0:
            nshm_flight_end(&q.handle)
        if r != -EINTR:
            return r
        PyErr_CheckSignals()


def create_queue(cls, name, bint exist_ok, unsigned mode, int64_t group, uint32_t capacity, uint32_t slot, uint32_t chunks,
                 uint32_t participants, uint32_t modes, uint64_t max_size):
    cdef QueueHandle handle = QueueHandle.__new__(cls)
    cdef object label = name.text
    cdef nshm_queue_start start
    cdef uint64_t size = 0
    cdef int r
    start.capacity, start.inline_max, start.chunks, start.participants = capacity, slot, chunks, participants
    start.mode, start.message_max = modes, max_size
    r = nshm_queue_size(&start, &size)
    if r == 0:
        r = make_queue(scope_of(name.is_global), encode(name.bare), mode, group, 0 if exist_ok else NSHM_EXCLUSIVE, &start,
                       &handle.q)
    if r < 0:
        raise explain(r, "create", name, size or 1 << 62)
    handle.own(label, "write", bool(handle.q.handle.created), handle.q.handle.nonce)
    nshm_flight_end(&handle.q.handle)
    return handle


def open_queue(cls, name, str access):
    cdef QueueHandle handle = QueueHandle.__new__(cls)
    cdef object label = name.text
    cdef int flags = NSHM_READONLY if access == "read" else 0
    cdef int r = find_queue(scope_of(name.is_global), encode(name.bare), flags, &handle.q)
    if r < 0:
        raise explain(r, "open", name, 0)
    handle.own(label, access, False, handle.q.handle.nonce)
    nshm_flight_end(&handle.q.handle)
    return handle
