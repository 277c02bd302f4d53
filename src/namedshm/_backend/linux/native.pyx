# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=False, freethreading_compatible=True
"""Linux handles: include/namedshm.h as Python objects.  The contract is contract.py; decisions and texts are in backend.py."""
from cython cimport final, no_gc_clear
from cpython.exc cimport PyErr_CheckSignals
from cpython.object cimport PyObject
from libc.errno cimport errno, EACCES, EBADF, EEXIST, EFAULT, EINTR, EINVAL, ENOENT, ENOMEM, EOVERFLOW, EPERM, ERANGE
from libc.errno cimport EAGAIN, EBUSY, ENOSYS, ENXIO, ESRCH, ETIME, ETIMEDOUT
from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc
from libc.string cimport memcpy, memset
from posix.stat cimport fstat, struct_stat

from namedshm._core cimport Mapping, Pager as CorePager, fill
from namedshm._unbound cimport guard_methods
from namedshm._gate cimport (
    nshm_gate, nshm_gate_close, nshm_gate_closed, nshm_gate_enter, nshm_gate_leave, nshm_gate_open, nshm_gate_shut)


cdef extern from "namedshm.h" nogil:
    enum:
        NSHM_SECTION, NSHM_MUTEX, NSHM_EVENT, NSHM_SEMAPHORE, NSHM_QUEUE, NSHM_TOPIC, NSHM_PARCEL
        NSHM_READONLY, NSHM_EXCLUSIVE
        NSHM_OBJ_READONLY, NSHM_OBJ_EXECUTABLE, NSHM_OBJ_RESERVE, NSHM_OBJ_FILE, NSHM_OBJ_HUGE, NSHM_UNCOUNTED
        NSHM_CAPACITY
    ctypedef struct nshm_record:
        uint64_t nonce, size
        int32_t token, data
        uint32_t mode, props
        uint16_t type, length
        int64_t born
        int32_t pid
        char *name
    ctypedef struct nshm_spare:
        void *at
        int id
    ctypedef struct nshm_scope:
        int is_global "global"
        uint32_t uid
        int64_t group
        int may_create
        uint64_t session
        int (*trusted)(uint32_t, int64_t) noexcept nogil
        int (*alone_in)(uint32_t) noexcept nogil
    ctypedef struct nshm_place:
        int id, writable
        nshm_spare spare
    ctypedef struct nshm_handle:
        nshm_scope *scope
        void *token
        void *data
        uint64_t size, nonce
        int token_id, data_id
        uint32_t mode, props
        uint16_t type
        size_t token_size
        int readonly, created
    ctypedef struct nshm_info:
        nshm_record record
        uint32_t maker, handles, mappings
    ctypedef int (*nshm_filler)(nshm_handle *, void *) noexcept nogil
    size_t nshm_page_round(uint64_t)
    size_t nshm_data_size(uint64_t, uint32_t)
    void nshm_scope_init(nshm_scope *, int, const char *, int64_t, int)
    void nshm_scope_release(nshm_scope *)
    int nshm_place_of(nshm_scope *, int, nshm_place **)
    int nshm_create(nshm_scope *, uint16_t, const char *, size_t, uint64_t, unsigned, int64_t, uint32_t, int, size_t,
                    nshm_filler, void *, nshm_handle *)
    int nshm_create_unnamed(nshm_scope *, uint64_t, unsigned, uint32_t, nshm_handle *)
    int nshm_open(nshm_scope *, uint16_t, const char *, size_t, int, nshm_handle *)
    int nshm_duplicate(const nshm_handle *, int, nshm_handle *)
    int nshm_retire(nshm_handle *)
    ctypedef struct nshm_arrivals:
        pass
    int nshm_arrivals_begin(nshm_scope *, nshm_arrivals *)
    int nshm_arrivals_sleep(const nshm_arrivals *, int64_t)
    void nshm_arrivals_end(nshm_arrivals *)
    int nshm_named(const nshm_handle *)
    int nshm_prepare(nshm_scope *, uint16_t, uint64_t, unsigned, int64_t, uint32_t, nshm_handle *)
    int nshm_replace(nshm_handle *, const char *, size_t)
    void *nshm_attach_data(const nshm_handle *, int, int)
    void nshm_close(nshm_handle *, int)
    void nshm_close_name(nshm_handle *)
    int nshm_next(nshm_scope *, uint32_t *, nshm_info *)
    int nshm_write_location(nshm_handle *, const char *, size_t)
    int nshm_location(const nshm_handle *, const char **, size_t *)
    void nshm_flight_begin(nshm_handle *)
    void nshm_flight_end(nshm_handle *)
    ctypedef struct nshm_note:
        uint16_t readonly
        uint32_t access
    ctypedef struct nshm_parked:
        pass
    int nshm_send(nshm_scope *, const nshm_handle *, uint32_t, const char *, size_t, int, nshm_parked *)
    int nshm_receive(nshm_scope *, nshm_scope *, const char *, size_t, nshm_handle *, nshm_note *)

cdef extern from "parcels.h" nogil:
    ctypedef struct nshm_parcel:
        nshm_parked kept
    int nshm_check_receiver(int)
    int nshm_parcel_new(int, nshm_parcel **)
    int nshm_parcel_list(nshm_parcel *)
    void nshm_parcel_withdraw(nshm_parcel *)
    void nshm_parcel_done(nshm_parcel *)
    void nshm_parcel_free "nshm__parcel_free"(nshm_parcel *)

cdef extern from "members.h" nogil:
    enum:
        NSHM_GROUP_UNKNOWN
    int nshm__member(uint32_t, int64_t)
    int nshm__alone_in(uint32_t)
    int nshm__group_number(const char *, uint32_t *)

cdef extern from "cow.h" nogil:
    int nshm__cow_watch(void *, size_t, int)
    void nshm__cow_forget(void *)
    void *nshm__cow_kernel(void *, size_t, int)

cdef extern from "Python.h":
    int PyErr_ResourceWarning(PyObject *, Py_ssize_t, const char *, ...) except -1
    Py_ssize_t Py_REFCNT(PyObject *)

cdef extern from "<sys/mman.h>" nogil:
    void *mmap(void *, size_t, int, int, int, int64_t)
    int munmap(void *, size_t)
    int msync(void *, size_t, int)
    int PROT_READ, PROT_WRITE, PROT_EXEC, MAP_SHARED, MAP_PRIVATE, MS_SYNC
    void *MAP_FAILED

cdef extern from "<unistd.h>" nogil:
    unsigned geteuid()
    int gettid()

cdef extern from * nogil:
    """
    #define nshm__or8(p, v) __atomic_fetch_or((unsigned char *)(p), (unsigned char)(v), __ATOMIC_SEQ_CST)
    #define nshm__load8(p) __atomic_load_n((unsigned char *)(p), __ATOMIC_ACQUIRE)
    #define nshm__load64(p) __atomic_load_n((uint64_t *)(p), __ATOMIC_SEQ_CST)
    #define nshm__store64(p, v) __atomic_store_n((uint64_t *)(p), (uint64_t)(v), __ATOMIC_SEQ_CST)
    #define nshm__load32(p) __atomic_load_n((uint32_t *)(p), __ATOMIC_SEQ_CST)
    #define nshm__add32(p, n) __atomic_add_fetch((uint32_t *)(p), (n), __ATOMIC_SEQ_CST)
    """
    unsigned char nshm__or8(void *, int)
    unsigned char nshm__load8(void *)
    uint64_t nshm__load64(void *)
    void nshm__store64(void *, uint64_t)
    uint32_t nshm__load32(void *)
    uint32_t nshm__add32(void *, uint32_t)

OBJ_READONLY = NSHM_OBJ_READONLY
OBJ_EXECUTABLE = NSHM_OBJ_EXECUTABLE
OBJ_RESERVE = NSHM_OBJ_RESERVE
OBJ_FILE = NSHM_OBJ_FILE
OBJ_HUGE = NSHM_OBJ_HUGE
UNCOUNTED = NSHM_UNCOUNTED
TYPES = {
    NSHM_SECTION: "section", NSHM_MUTEX: "mutex", NSHM_EVENT: "event", NSHM_SEMAPHORE: "semaphore",
    NSHM_QUEUE: "queue", NSHM_TOPIC: "topic",
}

#: Set by backend.py: makes the exception for a negative errno.
explain = None
#: Set by backend.py: facts about Global\ (group id or -1, whether this process may create).
global_policy = None
cdef bytes session = b""


def set_session(bytes name):
    global session
    session = name


cdef int lost(object handle, str text) except -1:
    """A ResourceWarning: by default nobody sees it; ``python -X dev`` and pytest show it."""
    return PyErr_ResourceWarning(<PyObject *>handle, 1, "%U", <PyObject *>text)


# ------------------------------------------------------------------------------------------------------------ scopes
# A scope belongs to an effective user.  A process that changes users gets another one, and lets go of what the old one keeps for
# its next use; it finds the old one again when it changes back.  Scopes are never freed: handles lead to them.
cdef struct user_scope:
    nshm_scope scope
    user_scope *next

cdef user_scope *scopes = NULL
cdef user_scope *current[2]


cdef nshm_scope *scope_of(bint is_global) except NULL:
    global scopes
    cdef uint32_t uid = geteuid()
    cdef user_scope *s = current[is_global]
    cdef user_scope *old = s
    cdef int64_t group = -1
    cdef bint may_create = True
    if s != NULL and s.scope.uid == uid and s.scope.group != NSHM_GROUP_UNKNOWN:
        return &s.scope
    s = scopes
    while s != NULL and (s.scope.uid != uid or bool(s.scope.is_global) != is_global):
        s = s.next
    if is_global and (s == NULL or s.scope.group == NSHM_GROUP_UNKNOWN):
        try:
            group, may_create = global_policy.group(), global_policy.may_create()
        except OSError:  # asked again the next time; see make_object, and errors.py for what is said
            group, may_create = NSHM_GROUP_UNKNOWN, uid == 0
        if s != NULL:
            s.scope.group, s.scope.may_create = group, may_create
    if s == NULL:
        s = <user_scope *>calloc(1, sizeof(user_scope))
        if s == NULL:
            raise MemoryError()
        nshm_scope_init(&s.scope, is_global, session, group, may_create)
        s.scope.trusted = nshm__member
        s.scope.alone_in = nshm__alone_in
        s.next = scopes
        scopes = s
    current[is_global] = s
    if old != NULL:
        nshm_scope_release(&old.scope)
    return &s.scope


cdef inline bytes encode(str bare):
    return bare.encode("utf-8", "surrogatepass")


# The two ways to a named object, of any type.  Both may sleep on the registry's lock; signal handlers run meanwhile.
# They leave the handle in flight: its owner says when it has it.  Until then no Python code may run in this thread, for it could
# fork, and the child would drop what it is about to own: names are taken apart before.
cdef int make_object(nshm_scope *s, uint16_t type, bytes name, uint64_t size, unsigned mode, int64_t group, uint32_t props,
                     int flags, size_t room, nshm_filler filler, void *context, nshm_handle *h) except 1:
    cdef const char *bare = name
    cdef size_t n = len(name)
    cdef int r
    if s.group == NSHM_GROUP_UNKNOWN:  # what is there may be opened; whom a new registry would be for is not known
        r = find_object(s, type, name, flags, h)
        if r != -ENOENT:
            if r == 0 and flags & NSHM_EXCLUSIVE:
                nshm_close(h, False)
                r = -EEXIST
            return r
        global_policy.group()  # says why, or that it is known by now
    while True:
        nshm_flight_begin(h)
        with nogil:
            r = nshm_create(s, type, bare, n, size, mode, group, props, flags, room, filler, context, h)
        if r < 0:
            nshm_flight_end(h)
        if r != -EINTR:
            return r
        PyErr_CheckSignals()


cdef int find_object(nshm_scope *s, uint16_t type, bytes name, int flags, nshm_handle *h) except 1:
    cdef const char *bare = name
    cdef size_t n = len(name)
    cdef int r
    while True:
        nshm_flight_begin(h)
        with nogil:
            r = nshm_open(s, type, bare, n, flags, h)
        if r < 0:
            nshm_flight_end(h)
        if r != -EINTR:
            return r
        PyErr_CheckSignals()


# The two ways to let go: what is dropped is a copy, so that a handle's own facts never change.
cdef void drop_handle(nshm_handle gone, bint keep_data) noexcept:
    if keep_data:
        gone.data = NULL  # before it is in flight: others have it, also in a child
    nshm_flight_begin(&gone)
    with nogil:
        nshm_close(&gone, keep_data)
    nshm_flight_end(&gone)


cdef void drop_name(nshm_handle gone) noexcept:
    gone.data = NULL
    nshm_flight_begin(&gone)
    with nogil:
        nshm_close_name(&gone)
    nshm_flight_end(&gone)


cdef extern from "<errno.h>" nogil:
    int EUCLEAN

include "views.pxi"
include "section.pxi"
include "looking.pxi"
include "rights.pxi"
include "sending.pxi"
include "pages.pxi"
include "../spin.pxi"
include "sync.pxi"
include "../queue.pxi"
include "queues.pxi"
include "../topic.pxi"
include "topics.pxi"
include "watch.pxi"


guard_methods(globals())
