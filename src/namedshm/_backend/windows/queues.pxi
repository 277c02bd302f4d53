# Queues of Windows: made, opened, let go of; the class is in ../queue.pxi, the objects in include/namedshm/queue_make_windows.h.
# Part of native.pyx, for strings and errors are there.

from libc.errno cimport EEXIST, ENAMETOOLONG, ENOENT, ENOMEM, EPERM
from libc.string cimport memset

cdef extern from "namedshm_queue.h" nogil:
    enum:
        NSHM_EXCLUSIVE, NSHM_READONLY
        EBADMSG, EPROTO, EUCLEAN, EIO
    ctypedef struct nshm_names:
        wchar_t *section
        wchar_t *companion
        wchar_t *lock
    ctypedef struct nshm_rights:
        SECURITY_ATTRIBUTES section, companion, bell, lock
    void nshm_scope_init(nshm_scope *, int, const char *, int64_t, int)
    int nshm__queue_create_named(
        nshm_scope *, const nshm_names *, nshm_rights *, unsigned, int, const nshm_queue_start *, nshm_queue *)
    int nshm__queue_open_named(nshm_scope *, const nshm_names *, nshm_rights *, int, nshm_queue *)
    void nshm__close_name(nshm_handle *)
    void nshm_queue_close(nshm_queue *)
    int nshm_why()
    size_t NSHM_NAMES_ROOM, NSHM_BESIDE_ROOM

cdef nshm_scope local_scope, global_scope
nshm_scope_init(&local_scope, 0, NULL, -1, 1)
nshm_scope_init(&global_scope, 1, NULL, -1, 1)

# Of what made it fail when Windows was not asked.
cdef dict _queue_codes = {
    -ENOENT: FILE_NOT_FOUND, -EEXIST: ALREADY_EXISTS, -EACCES: ACCESS_DENIED, -EPERM: ACCESS_DENIED, -EBADMSG: INVALID_HANDLE,
    -EINVAL: INVALID_PARAMETER, -ENOMEM: NOT_ENOUGH_MEMORY, -ETIMEDOUT: ERROR_TIMEOUT,
}


# An error that is not the queue's own, of a handle that is open.
cdef object queue_failure(int code, str call, object name):
    if code == -EBADF:
        return errors.ClosedHandle(
            f"Cannot {call}: this handle to {_queue_label(name)} is closed, open it again", name=name, call=call)
    if code == -EUCLEAN:
        return _damaged(call, name)
    return _failure(_queue_codes.get(code, <DWORD>nshm_why()), call, name, f"{call} {{}}", "queue")


cdef object _queue_label(object name):
    return "an unnamed queue" if name is None else f"queue {name!r}"


cdef object _damaged(str call, object name):
    return errors.NamedShmError(
        f"Cannot {call}: {_queue_label(name)} is damaged, its control words are not what a queue has; close it everywhere and "
        "create it anew", name=name, call=call)


# What kept a queue from being made or opened.
cdef object _unmade(int code, str doing, object name):
    if code == -EPROTO:
        return errors.Unsupported(
            f"Cannot {doing} {_queue_label(name)}: running programs use another version of namedshm, whose format is another; end "
            "them, or run all with the same version", name=name, call=doing)
    if code == -EUCLEAN:
        return _damaged(doing, name)
    call = "CreateFileMappingW" if doing == "create" else "OpenFileMappingW"
    return _failure(_queue_codes.get(code, <DWORD>nshm_why()), call, name, f"{doing} {{}}", "queue")


cdef int _put_name(wchar_t *to, size_t room, str text) except -1:
    cdef _Wide wide = _Wide(text)
    cdef size_t i = 0
    while wide.text[i]:
        if i + 1 >= room:
            raise _failure(206, "CreateFileMappingW", text, "create {}", "queue")
        to[i] = wide.text[i]
        i += 1
    to[i] = 0
    return 0


cdef int _put_names(nshm_names *to, tuple names) except -1:
    section, companion, lock = names
    _put_name(to.section, NSHM_NAMES_ROOM, section)
    _put_name(to.companion, NSHM_BESIDE_ROOM, companion)
    return _put_name(to.lock, NSHM_BESIDE_ROOM, lock)


# By the last one out.
cdef void queue_drop(nshm_queue *q, bint nameless) noexcept:
    with nogil:
        nshm_queue_close(q)


# The name goes at once, although others use the memory.
cdef void queue_drop_name(nshm_queue *q) noexcept:
    nshm__close_name(&q.handle)


def create_queue(
    cls, text, tuple names, bint is_global, bint exclusive, unsigned mode, Descriptor section, Descriptor companion,
    Descriptor bell, Descriptor lock, uint32_t capacity, uint32_t slot, uint32_t chunks, uint32_t participants, uint32_t modes,
    uint64_t max_size
):
    cdef QueueHandle handle = QueueHandle.__new__(cls)
    cdef nshm_queue_start start
    cdef nshm_names wide
    cdef nshm_rights rights
    cdef nshm_scope *scope = &global_scope if is_global else &local_scope
    cdef int r, flags = NSHM_EXCLUSIVE if exclusive else 0
    start.capacity, start.inline_max, start.chunks, start.participants = capacity, slot, chunks, participants
    start.mode, start.message_max = modes, max_size
    rights.section, rights.companion = _attributes(section, False), _attributes(companion, False)
    rights.bell, rights.lock = _attributes(bell, False), _attributes(lock, False)
    _put_names(&wide, names)
    with nogil:
        r = nshm__queue_create_named(scope, &wide, &rights, mode, flags, &start, &handle.q)
    if r:
        raise _unmade(r, "create", text)
    handle.own(text, "write", bool(handle.q.handle.created), handle.q.handle.nonce)
    return handle


def open_queue(cls, text, tuple names, bint is_global, Descriptor lock, str access):
    cdef QueueHandle handle = QueueHandle.__new__(cls)
    cdef nshm_names wide
    cdef nshm_rights rights
    cdef nshm_scope *scope = &global_scope if is_global else &local_scope
    cdef int r, flags = NSHM_READONLY if access == "read" else 0
    memset(&rights, 0, sizeof(rights))
    rights.lock = _attributes(lock, False)
    _put_names(&wide, names)
    with nogil:
        r = nshm__queue_open_named(scope, &wide, &rights, flags, &handle.q)
    if r:
        raise _unmade(r, "open", text)
    handle.own(text, access, False, handle.q.handle.nonce)
    return handle
