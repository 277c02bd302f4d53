# Topics of Linux: made, opened, let go of; the class is in ../topic.pxi.  Part of native.pyx, for the scopes are there.

cdef extern from "namedshm_topic.h" nogil:
    int nshm_topic_size(const nshm_topic_start *, uint64_t *)
    int nshm_topic_create(nshm_scope *, const char *, size_t, unsigned, int64_t, int, const nshm_topic_start *, nshm_topic *)
    int nshm_topic_open(nshm_scope *, const char *, size_t, int, nshm_topic *)
    void nshm_topic_close(nshm_topic *)
    void nshm_topic_close_name(nshm_handle *)


# An error that is not the topic's own.
cdef object topic_failure(int code, str call, object name):
    return explain(code, "wait-sync" if code == -ENOSYS else call, name, 0)


# As queue_drop().  Where the name has gone before, there is an empty page in the place of the token.
cdef void topic_drop(nshm_topic *t, bint nameless) noexcept:
    cdef void *page = t.handle.token
    cdef size_t size = nshm_page_round(t.handle.token_size)
    if nameless:
        t.handle.token = NULL
    nshm_flight_begin(&t.handle)
    with nogil:
        nshm_topic_close(t)
        if nameless:
            munmap(page, size)
    nshm_flight_end(&t.handle)


# The name goes at once, although others use the memory, the token's as well.
cdef void topic_drop_name(nshm_topic *t) noexcept:
    cdef nshm_handle gone = t.handle
    gone.data = NULL
    nshm_flight_begin(&gone)
    with nogil:
        nshm_topic_close_name(&gone)
    nshm_flight_end(&gone)


# 0, or what went wrong; the handle is left in flight.  See make_object and find_object.
cdef int make_topic(nshm_scope *s, bytes name, unsigned mode, int64_t group, int flags, nshm_topic_start *start,
                    nshm_topic *t) except 1:
    cdef const char *bare = name
    cdef size_t n = len(name)
    cdef int r
    if s.group == NSHM_GROUP_UNKNOWN:
        r = find_topic(s, name, flags, t)
        if r != -ENOENT:
            if r == 0 and flags & NSHM_EXCLUSIVE:
                with nogil:
                    nshm_topic_close(t)
                nshm_flight_end(&t.handle)
                r = -EEXIST
            return r
        global_policy.group()
    while True:
        nshm_flight_begin(&t.handle)
        with nogil:
            r = nshm_topic_create(s, bare, n, mode, group, flags, start, t)
        if r < 0:
            nshm_flight_end(&t.handle)
        if r != -EINTR:
            return r
        PyErr_CheckSignals()


cdef int find_topic(nshm_scope *s, bytes name, int flags, nshm_topic *t) except 1:
    cdef const char *bare = name
    cdef size_t n = len(name)
    cdef int r
    while True:
        nshm_flight_begin(&t.handle)
        with nogil:
            r = nshm_topic_open(s, bare, n, flags, t)
        if r < 0:
            nshm_flight_end(&t.handle)
        if r != -EINTR:
            return r
        PyErr_CheckSignals()


def create_topic(cls, name, bint exist_ok, unsigned mode, int64_t group, uint32_t history, uint32_t inline_max, uint32_t pins,
                 uint32_t writers, uint32_t modes, uint64_t max_size, uint32_t schema_kind, bytes schema not None):
    cdef TopicHandle handle = TopicHandle.__new__(cls)
    cdef object label = name.text
    cdef nshm_topic_start start
    cdef uint64_t size = 0
    cdef int r
    start.history, start.inline_max, start.pins, start.writers, start.mode = history, inline_max, pins, writers, modes
    start.value_max, start.schema_kind, start.schema_size = max_size, schema_kind, <uint32_t>len(schema)
    start.schema = PyBytes_AS_STRING(schema)
    r = nshm_topic_size(&start, &size)
    if r == 0:
        r = make_topic(scope_of(name.is_global), encode(name.bare), mode, group, 0 if exist_ok else NSHM_EXCLUSIVE, &start,
                       &handle.t)
    if r < 0:
        raise explain(r, "create", name, size or 1 << 62)
    handle.own(label, "write", bool(handle.t.handle.created), handle.t.handle.nonce)
    nshm_flight_end(&handle.t.handle)
    return handle


def open_topic(cls, name, str access):
    cdef TopicHandle handle = TopicHandle.__new__(cls)
    cdef object label = name.text
    cdef int flags = NSHM_READONLY if access == "read" else 0
    cdef int r = find_topic(scope_of(name.is_global), encode(name.bare), flags, &handle.t)
    if r < 0:
        raise explain(r, "open", name, 0)
    handle.own(label, access, False, handle.t.handle.nonce)
    nshm_flight_end(&handle.t.handle)
    return handle
