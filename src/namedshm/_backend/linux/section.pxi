# Handles to sections: made, opened, mapped, closed.  Part of native.pyx.

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


@no_gc_clear
cdef class Handle:
    """contract.SectionHandle"""
    cdef nshm_gate gate
    cdef nshm_handle h           # from own() on only its slot changes, once, by replace(): whoever is in may read the rest
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

    # ---- the name, while the handle goes on
    def retire(self):
        cdef int r
        self.enter("retire")
        try:
            while True:
                with nogil:
                    r = nshm_retire(&self.h)
                if r != -EINTR:
                    break
                PyErr_CheckSignals()
        finally:
            self.leave()
        if r < 0 and r != -ENOENT:
            raise explain(r, "retire", self.name, 0)
        return r == 0

    def named(self):
        self.enter("name")
        try:
            return nshm_named(&self.h) != 0
        finally:
            self.leave()

    def replace(self, name):
        cdef bytes bare = encode(name.bare)
        cdef const char *text = bare
        cdef size_t n = len(bare)
        cdef int r
        self.enter("replace")
        try:
            while True:
                with nogil:
                    r = nshm_replace(&self.h, text, n)
                if r != -EINTR:
                    break
                PyErr_CheckSignals()
        finally:
            self.leave()
        if r < 0:
            raise explain(r, "replace", name, self.h.size)

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

    def __del__(self):
        if not nshm_gate_closed(&self.gate) and self.name is not None and self.data is not None \
                and Py_REFCNT(<PyObject *>self.data) > 1:
            lost(self, f"section {self.name!r} is collected, and its views keep the memory without the name: keep it, or close it")

    def __dealloc__(self):
        if not nshm_gate_closed(&self.gate):
            nshm_gate_shut(&self.gate)
            self.drop()


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


def prepare(name, uint64_t size, unsigned mode, int64_t group, uint32_t props):
    """A Handle to a new object that has no name yet: replace() gives it `name`."""
    cdef Handle handle = Handle.__new__(Handle)
    cdef nshm_scope *s = scope_of(name.is_global)
    cdef object label = name.text
    cdef int r
    if s.group == NSHM_GROUP_UNKNOWN:
        global_policy.group()  # says why, or that it is known by now
    while True:
        nshm_flight_begin(&handle.h)
        with nogil:
            r = nshm_prepare(s, NSHM_SECTION, size, mode, group, props, &handle.h)
        if r < 0:
            nshm_flight_end(&handle.h)
        if r != -EINTR:
            break
        PyErr_CheckSignals()
    if r < 0:
        raise explain(r, "create", name, size)
    handle.own(label, False)
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
