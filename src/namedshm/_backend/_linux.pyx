# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=False, freethreading_compatible=True
"""Linux handles: include/namedshm.h as Python objects.  The contract is contract.py; decisions and texts are in linux.py."""
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
from namedshm._gate cimport (
    nshm_gate, nshm_gate_close, nshm_gate_closed, nshm_gate_enter, nshm_gate_leave, nshm_gate_open, nshm_gate_shut)


cdef extern from "namedshm.h" nogil:
    enum:
        NSHM_SECTION, NSHM_MUTEX, NSHM_EVENT, NSHM_SEMAPHORE, NSHM_PARCEL
        NSHM_READONLY, NSHM_EXCLUSIVE
        NSHM_OBJ_READONLY, NSHM_OBJ_EXECUTABLE, NSHM_OBJ_RESERVE, NSHM_OBJ_FILE, NSHM_OBJ_HUGE
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

cdef extern from "_parcels.h" nogil:
    ctypedef struct nshm_parcel:
        nshm_parked kept
    int nshm_check_receiver(int)
    int nshm_parcel_new(int, nshm_parcel **)
    int nshm_parcel_list(nshm_parcel *)
    void nshm_parcel_withdraw(nshm_parcel *)
    void nshm_parcel_done(nshm_parcel *)
    void nshm_parcel_free "nshm__parcel_free"(nshm_parcel *)

cdef extern from "_members.h" nogil:
    enum:
        NSHM_GROUP_UNKNOWN
    int nshm__member(uint32_t, int64_t)
    int nshm__alone_in(uint32_t)
    int nshm__group_number(const char *, uint32_t *)

cdef extern from "_cow.h" nogil:
    int nshm__cow_watch(void *, size_t, int)
    void nshm__cow_forget(void *)
    void *nshm__cow_kernel(void *, size_t, int)

cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(PyObject *)

cdef extern from "<sys/mman.h>" nogil:
    void *mmap(void *, size_t, int, int, int, int64_t)
    int munmap(void *, size_t)
    int msync(void *, size_t, int)
    int PROT_READ, PROT_WRITE, PROT_EXEC, MAP_SHARED, MAP_PRIVATE, MS_SYNC
    void *MAP_FAILED

cdef extern from "<unistd.h>" nogil:
    unsigned geteuid()

cdef extern from * nogil:
    """
    #define nshm__or8(p, v) __atomic_fetch_or((unsigned char *)(p), (unsigned char)(v), __ATOMIC_SEQ_CST)
    #define nshm__load8(p) __atomic_load_n((unsigned char *)(p), __ATOMIC_ACQUIRE)
    #define nshm__load32(p) __atomic_load_n((uint32_t *)(p), __ATOMIC_SEQ_CST)
    #define nshm__add32(p, n) __atomic_add_fetch((uint32_t *)(p), (n), __ATOMIC_SEQ_CST)
    """
    unsigned char nshm__or8(void *, int)
    unsigned char nshm__load8(void *)
    uint32_t nshm__load32(void *)
    uint32_t nshm__add32(void *, uint32_t)

OBJ_READONLY = NSHM_OBJ_READONLY
OBJ_EXECUTABLE = NSHM_OBJ_EXECUTABLE
OBJ_RESERVE = NSHM_OBJ_RESERVE
OBJ_FILE = NSHM_OBJ_FILE
OBJ_HUGE = NSHM_OBJ_HUGE
TYPES = {NSHM_SECTION: "section", NSHM_MUTEX: "mutex", NSHM_EVENT: "event", NSHM_SEMAPHORE: "semaphore"}

#: Set by linux.py: makes the exception for a negative errno.
explain = None
#: Set by linux.py: facts about Global\ (group id or -1, whether this process may create).
global_policy = None
cdef bytes session = b""


def set_session(bytes name):
    global session
    session = name


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
        except OSError:  # asked again the next time; see make_object, and linux_errors.py for what is said
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


# ------------------------------------------------------------------------------------------------------------ attachments
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
    return a


# ------------------------------------------------------------------------------------------------------------ handles
@no_gc_clear
cdef class Handle:
    """contract.SectionHandle"""
    cdef nshm_gate gate
    cdef nshm_handle h           # not changed from own() on, also by closing: whoever is in may read it
    cdef bint nameless           # closed while somebody was in: the name is gone, the rest goes with the last one
    cdef Attachment data         # what the handle holds of the memory; None for a file
    cdef readonly object name
    cdef readonly str access
    cdef int fd                  # the mapped file, or -1
    cdef object __weakref__

    def __cinit__(self):
        nshm_gate_shut(&self.gate)
        self.fd = -1

    @property
    def closed(self):
        return bool(nshm_gate_closed(&self.gate))

    @property
    def size(self):
        return self.h.size

    @property
    def created(self):
        return bool(self.h.created)

    @property
    def identity(self):
        return self.h.nonce

    @property
    def writable(self):
        return not self.h.props & NSHM_OBJ_READONLY

    @property
    def executable(self):
        return bool(self.h.props & NSHM_OBJ_EXECUTABLE)

    @property
    def reserved(self):
        return bool(self.h.props & NSHM_OBJ_RESERVE)

    @property
    def file_backed(self):
        return bool(self.h.props & NSHM_OBJ_FILE)

    @property
    def segments(self):
        """(token id, data id), -1 for none: for diagnostics and tests."""
        return self.h.token_id if self.h.token != NULL and not self.closed else -1, self.h.data_id

    # Takes what a C call left in flight; nothing in here gives the GIL away before it is owned.
    cdef int own(self, object name, bint readonly) except -1:
        self.name = name
        self.access = "read" if readonly or self.h.props & NSHM_OBJ_READONLY else "write"
        if self.h.data != NULL:
            self.data = attachment(self.h.data, self.span())
        nshm_gate_open(&self.gate)
        nshm_flight_end(&self.h)
        return 0

    @final
    cdef int enter(self, str call) except -1:
        if not nshm_gate_enter(&self.gate):
            raise explain(-EBADF, call, self.name, 0)
        return 0

    @final
    cdef void leave(self) noexcept:
        if nshm_gate_leave(&self.gate):
            self.drop()

    cdef size_t span(self):
        return nshm_page_round(nshm_data_size(self.h.size, self.h.props))

    def map(self, kind, Py_ssize_t offset, Py_ssize_t length, str access, bint executable):
        cdef Mapping m
        cdef Attachment a
        cdef bint readonly = access == "read"
        cdef size_t pages = nshm_page_round(self.h.size)
        if offset < 0 or length <= 0 or <size_t>offset >= pages or <size_t>length > pages - <size_t>offset:
            raise explain(-ERANGE, "map", self.name, length)  # section.py says it better, of numbers that do not lie
        if access == "write" and self.access != "write":
            raise explain(-EACCES, "map", self.name, 0)
        m = kind.__new__(kind)  # may run Python code: before the handle is used
        self.enter("map")
        try:
            if self.fd >= 0:
                a = self.map_file(offset, length, access, executable)
                offset = 0
            elif access == "copy":
                a = self.map_copy(offset, length, executable)
            elif not executable and access == self.access and not (self.h.created and self.h.props & NSHM_OBJ_READONLY):
                a = self.data
            else:
                a = attachment(nshm_attach_data(&self.h, readonly, executable), self.span())
                if a.address == NULL:
                    raise explain(-errno, "shmat", self.name, self.h.size)
            if a is None:  # of a file, and nobody has given us the file
                raise explain(-EBADF, "map", self.name, 0)
            fill(m, a.address + offset, length, readonly, a, self.name)
            if self.h.props & NSHM_OBJ_RESERVE:
                m._window = 0
                m._guard = committed(a, pages, offset)
        finally:
            self.leave()
        return m

    cdef Attachment map_copy(self, Py_ssize_t offset, Py_ssize_t length, bint executable):
        cdef size_t size = self.span()
        cdef int prot = PROT_READ | PROT_WRITE | (PROT_EXEC if executable else 0)
        cdef void *private
        cdef int r
        cdef Attachment a = attachment(nshm_attach_data(&self.h, True, executable), size)
        if a.address == NULL:
            raise explain(-errno, "shmat", self.name, self.h.size)
        if kernel_copy:
            private = nshm__cow_kernel(a.address, size, prot)
            if private != NULL:
                return attachment(private, size)  # the attachment itself is let go: the private mapping holds the memory
        r = nshm__cow_watch(a.address + offset, nshm_page_round(length), prot)
        if r < 0:
            raise explain(r, "copy-on-write", self.name, length)
        a.watched = a.address + offset
        return a

    cdef Attachment map_file(self, Py_ssize_t offset, Py_ssize_t length, str access, bint executable):
        cdef int prot = PROT_READ | (PROT_EXEC if executable else 0) | (0 if access == "read" else PROT_WRITE)
        cdef size_t size = nshm_page_round(length)
        cdef struct_stat facts
        cdef void *p
        if fstat(self.fd, &facts):
            raise explain(-errno, "fstat", self.name, length)
        if nshm_page_round(<uint64_t>facts.st_size) < nshm_page_round(<uint64_t>(offset + length)):
            raise explain(-ENXIO, "mmap", self.name, facts.st_size)  # touching the rest would be SIGBUS
        p = mmap(NULL, size, prot, MAP_PRIVATE if access == "copy" else MAP_SHARED, self.fd, offset)
        if p == MAP_FAILED:
            raise explain(-errno, "mmap", self.name, length)
        return attachment(p, size)

    def duplicate(self, str access):
        cdef Handle other = Handle.__new__(Handle)
        cdef int r
        self.enter("duplicate")
        try:
            nshm_flight_begin(&other.h)
            r = nshm_duplicate(&self.h, access == "read", &other.h)
            if r < 0:
                nshm_flight_end(&other.h)
                # closed meanwhile: then its name may be gone, and there is nothing to duplicate
                raise explain(-EBADF if self.closed else r, "duplicate" if self.closed else "shmat", self.name, self.h.size)
            other.own(self.name, other.h.readonly)
            if self.fd >= 0:
                other.fd = duplicate_fd(self.fd)
        finally:
            self.leave()
        return other

    # ---- file-backed sections: where the file is stands in the token's page
    def attach_file(self, int fd):
        """Take the descriptor over, by who made or opened the handle, before anybody else knows of it."""
        self.fd = fd

    def location(self):
        """What this user's creator of a file-backed section wrote about its file; raises if it is somebody else's text."""
        cdef const char *text
        cdef size_t n
        cdef int r
        self.enter("map")
        try:
            r = nshm_location(&self.h, &text, &n)
            if r < 0:
                raise explain(r, "location", self.name, 0)
            return bytes(text[:n])
        finally:
            self.leave()

    def close(self):
        cdef Py_ssize_t others = nshm_gate_close(&self.gate)
        if others < 0:
            return
        if others and self.h.token != NULL:
            self.nameless = True
            drop_name(self.h)
        self.leave()

    cdef void drop(self) noexcept:
        cdef nshm_handle gone = self.h
        cdef int fd = self.fd
        cdef bint keep = True
        # views share the attachment: then it is theirs.  Alone, token and data go with one munmap where they are neighbours.
        if self.data is not None and Py_REFCNT(<PyObject *>self.data) == 1:
            self.data.address = NULL
            keep = False
        if self.nameless:
            gone.token = NULL
        self.data = None
        drop_handle(gone, keep)
        if fd >= 0:
            self.fd = -1
            close_fd(fd)

    def __dealloc__(self):
        if not nshm_gate_closed(&self.gate):
            nshm_gate_shut(&self.gate)
            self.drop()


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


#: Tests turn the kernel's copy-on-write off to exercise the other way as root.
kernel_copy = True


def set_kernel_copy(bint on):
    global kernel_copy
    kernel_copy = on


cdef extern from "<unistd.h>" nogil:
    int close_fd "close" (int)

cdef extern from "<fcntl.h>" nogil:
    int fcntl(int, int, ...)
    int F_DUPFD_CLOEXEC, F_GETFL, O_ACCMODE


cpdef int duplicate_fd(int fd) except -1:
    cdef int new = fcntl(fd, F_DUPFD_CLOEXEC, 3)
    if new < 0:
        raise explain(-errno, "fcntl", None, 0)
    return new


def open_mode(int fd):
    """O_RDONLY, O_WRONLY or O_RDWR of an open descriptor."""
    cdef int flags = fcntl(fd, F_GETFL)
    if flags < 0:
        raise explain(-errno, "fcntl", None, 0)
    return flags & O_ACCMODE


cdef struct text:
    const char *bytes
    size_t length


cdef int write_text(nshm_handle *h, void *context) noexcept nogil:
    cdef text *t = <text *>context
    return nshm_write_location(h, t.bytes, t.length)


def create(name, uint64_t size, bint exist_ok, str access, unsigned mode, int64_t group, uint32_t props, bytes location):
    """A Handle; `name` is a names.Name or None, `location` what to keep in the token's page of a file-backed section."""
    cdef Handle handle = Handle.__new__(Handle)
    cdef bint readonly = access == "read"
    cdef int flags = (0 if exist_ok else NSHM_EXCLUSIVE) | (NSHM_READONLY if readonly else 0), r
    cdef size_t room = 0
    cdef text t
    cdef nshm_filler filler = NULL
    cdef nshm_scope *s
    cdef object label = None if name is None else name.text
    if name is None:
        s = scope_of(False)
        nshm_flight_begin(&handle.h)
        with nogil:
            r = nshm_create_unnamed(s, size, mode, props, &handle.h)
        if r < 0:
            nshm_flight_end(&handle.h)
    else:
        t.bytes, t.length = NULL, 0
        if props & NSHM_OBJ_FILE:
            t.bytes, t.length = location, len(location)
            room = t.length + 1
            filler = write_text
        r = make_object(scope_of(name.is_global), NSHM_SECTION, encode(name.bare), size, mode, group, props, flags, room,
                        filler, &t, &handle.h)
    if r < 0:
        raise explain(r, "create", name, size)
    handle.h.readonly = readonly
    handle.own(label, readonly)
    return handle


def open(name, str access):
    cdef Handle handle = Handle.__new__(Handle)
    cdef bint readonly = access == "read"
    cdef int flags = NSHM_READONLY if readonly else 0
    cdef object label = name.text
    cdef int r = find_object(scope_of(name.is_global), NSHM_SECTION, encode(name.bare), flags, &handle.h)
    if r < 0:
        raise explain(r, "open", name, 0)
    handle.own(label, readonly)
    return handle


cdef object shown(bytes name):
    """The text of a name.  Bytes that are no text, which only other languages' programs can put there, are shown as \\xe9 and a
    backslash, which no name from here has, as two: so that what is shown is the text of no other name."""
    try:
        if b"\\" not in name or name.startswith(b"\0"):
            return name.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        pass
    return name.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")


def objects(bint is_global):
    """Tuples (bare name, type, size, handles, mappings, pid, uid, born, mode, data id, nonce, props) of what lives in a scope."""
    cdef nshm_info info
    cdef uint32_t cursor = 0
    cdef nshm_scope *s = scope_of(is_global)
    cdef int r
    out = []
    while True:
        with nogil:  # the first time it finds the registry, or waits for one that is being made
            r = nshm_next(s, &cursor, &info)
        if r == -ENOENT:
            return out
        if r < 0:
            raise explain(r, "list", None, 0)
        if info.record.type & NSHM_PARCEL:
            continue
        out.append((shown(info.record.name[:info.record.length]), TYPES.get(info.record.type, "section"),
                    info.record.size, info.handles, info.mappings, info.record.pid, info.maker, info.record.born,
                    info.record.mode, info.record.data, info.record.nonce, info.record.props))


# ------------------------------------------------------------------------------------------------------------ parcels
SYNC_ACCESS = ("full", "wait", "modify")


def check_receiver(int pid):
    """0, -ESRCH: there is no such process (any more), -EPERM: it is another user's."""
    return nshm_check_receiver(pid)


def send(handle, int pid, bytes label not None, str access not None):
    """Leave a parcel for `pid`: 0, or what check_receiver() says.  A thread of its own keeps it until it is taken (_parcels.h)."""
    cdef nshm_parcel *p = NULL
    cdef nshm_scope *s = scope_of(False)
    cdef SyncHandle sync = handle if isinstance(handle, SyncHandle) else None
    cdef Handle section = None if sync is not None else <Handle?>handle
    cdef uint32_t right = SYNC_ACCESS.index(access) if sync is not None else 0
    cdef bint readonly = section is not None and access == "read"
    cdef const nshm_handle *h
    cdef const char *text = label
    cdef size_t n = len(label)
    cdef int r = nshm_parcel_new(pid, &p)
    if r == -ESRCH or r == -EPERM:
        return r
    if r < 0:
        raise explain(r, "send", handle.name, 0)
    try:
        if sync is not None:
            h = &sync.h
            sync.enter(True, "send")
        else:
            h = &section.h
            section.enter("send")
        try:
            while True:
                r = nshm_parcel_list(p)
                if not r:
                    with nogil:
                        r = nshm_send(s, h, right, text, n, readonly, &p.kept)
                        if not r:
                            nshm_parcel_done(p)
                if not r:
                    p = NULL  # the thread's
                    return 0
                nshm_parcel_withdraw(p)
                if r != -EINTR:
                    raise explain(-EBADF if closed_meanwhile(sync, section) else r, "send", handle.name, 0)
                PyErr_CheckSignals()
        finally:
            if sync is not None:
                sync.leave()
            else:
                section.leave()
    finally:
        if p != NULL:
            nshm_parcel_free(p)


cdef bint closed_meanwhile(SyncHandle sync, Handle section) noexcept:
    return bool(nshm_gate_closed(&sync.gate if sync is not None else &section.gate))


def receive(bytes label not None):
    """The Handle or SyncHandle that a parcel of this label brings; None if there is none."""
    cdef Handle section = Handle.__new__(Handle)
    cdef SyncHandle sync = SyncHandle.__new__(SyncHandle)
    cdef nshm_scope *s = scope_of(False)
    cdef nshm_scope *g = scope_of(True)
    cdef const char *text = label
    cdef size_t n = len(label)
    cdef nshm_handle h
    cdef nshm_note note
    cdef int r
    memset(&h, 0, sizeof(h))
    nshm_flight_begin(&h)
    with nogil:
        r = nshm_receive(s, g, text, n, &h, &note)
    nshm_flight_end(&h)  # nothing below gives the GIL away before it is owned
    if r == -ENOENT:
        return None
    if r < 0:
        raise explain(r, "receive", None, 0)
    if h.type == NSHM_SECTION:
        section.h = h
        section.own(None, note.readonly)
        return section
    sync.h = h
    sync.own(None, TYPES.get(h.type, "section"), SYNC_ACCESS[min(note.access, 2)])
    return sync


# ------------------------------------------------------------------------------------------------------------ views
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


def scope_state(bint is_global):
    cdef nshm_scope *s = scope_of(is_global)
    cdef nshm_place *p = NULL
    cdef int r = nshm_place_of(s, 0, &p)
    state = {"registry": None, "writable": bool(s.may_create), "uid": s.uid, "capacity": NSHM_CAPACITY, "spare": None}
    if p != NULL:
        state.update(registry=p.id, writable=bool(p.writable), spare=p.spare.id if p.spare.at != NULL else None)
    if r < 0 and r != -ENOENT:
        raise explain(r, "look for the registry of", None, 0)
    return state


cdef extern from "<errno.h>" nogil:
    int EUCLEAN

include "_linux_facts.pxi"
include "_linux_pages.pxi"
include "_spin.pxi"
include "_linux_sync.pxi"
