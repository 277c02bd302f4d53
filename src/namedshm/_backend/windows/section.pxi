# Handles to sections: made, opened, mapped, closed.  Part of native.pyx.

@no_gc_clear
cdef class SectionHandle:
    cdef nshm_gate _gate
    cdef HANDLE _section      # not changed from _take() on, also by closing: whoever is in may use it
    cdef HANDLE _companion
    cdef long long _real  # bytes that Windows lets be mapped: whole pages of memory, but a file's size exactly
    cdef _Views _views
    cdef readonly object name
    cdef readonly long long size
    cdef readonly str access
    cdef readonly bint created
    cdef readonly unsigned long long identity
    cdef readonly bint writable
    cdef readonly bint executable
    cdef readonly bint reserved
    cdef object __weakref__

    def __cinit__(self):
        nshm_gate_shut(&self._gate)

    def __init__(self):
        raise TypeError("SectionHandle objects are made by create(), open_existing() and receive()")

    def __del__(self):
        if not nshm_gate_closed(&self._gate) and self.name is not None and self._views is not None and self._views.living:
            lost(self, f"section {self.name!r} is collected, and its views keep the memory without the name: keep it, or close it")

    def __dealloc__(self):
        if not nshm_gate_closed(&self._gate):
            self._release()

    cdef void _release(self) noexcept:
        cdef Opened o
        o.section = self._section
        o.companion = self._companion
        _drop(&o)

    cdef void _take(self, Opened *o, object name, str access):
        self._section = o.section
        self._companion = o.companion
        self.name = name
        self.access = access
        self.created = o.created
        self._real = o.real_size if o.real_size else <long long>1 << 62
        if o.facts.magic:
            self.size = o.facts.size
            self.identity = <unsigned long long>o.facts.identity
            self.writable = not o.facts.properties & IS_READONLY
            self.executable = o.facts.properties & IS_EXECUTABLE != 0
            self.reserved = o.facts.properties & IS_RESERVED != 0
        else:
            self.size = o.real_size
            self.identity = 0
            self.writable = True
            self.executable = False
            self.reserved = o.attributes & SEC_RESERVE != 0
        nshm_gate_open(&self._gate)

    # A number that was closed may be another object's at once: it is used between these two only, and closed by the last one out.
    @final
    cdef int _enter(self, str doing) except -1:
        if not nshm_gate_enter(&self._gate):
            raise errors.ClosedHandle(
                f"Cannot {doing} {self._label()}: this handle is closed, open the section again", name=self.name, call=doing)
        return 0

    @final
    cdef void _leave(self) noexcept:
        if nshm_gate_leave(&self._gate):
            self._release()

    cdef object _label(self):
        return "an unnamed section" if self.name is None else f"section {self.name!r}"

    @property
    def closed(self):
        return bool(nshm_gate_closed(&self._gate))

    @property
    def os_handle(self):
        self._enter("use")
        self._leave()
        return <uintptr_t>self._section

    def map(self, kind, long long offset, Py_ssize_t length, str access, bint executable):
        cdef DWORD flags, error
        cdef _Attachment attachment
        cdef _Guard guard
        cdef Mapping m
        cdef long long pages = (self.size + 4095) & ~<long long>4095
        if not (0 <= offset < pages and 0 < length <= pages - offset):  # backend.py says it better, of numbers that do not lie
            raise errors.InvalidArgument(f"{length} bytes at {offset} reach beyond the end of {self._label()}", call="map")
        if access == "write":
            if not self.writable:  # Windows would refuse as well, Wine would not
                raise errors.AccessDenied(
                    f"{self._label()} was created read-only: map it with access 'read' or 'copy'",
                    name=self.name, call="MapViewOfFile")
            flags = MAP_READ | MAP_WRITE
        else:
            flags = MAP_READ if access == "read" else FILE_MAP_COPY
        if executable:
            flags |= FILE_MAP_EXECUTE
        if self._views is None:
            self._views = _Views.__new__(_Views)
        attachment = _Attachment.__new__(_Attachment)
        attachment._views = self._views
        self._views.living += 1
        m = <Mapping?>kind.__new__(kind)  # may run Python code: before the handle is used
        self._enter("map")
        # What is asked for may end behind a file's last byte, within its last page.  That page is mapped anyway.
        attachment._base = MapViewOfFile(
            self._section, flags, <DWORD>(offset >> 32), <DWORD>offset, min(<long long>length, self._real - offset))
        error = GetLastError()
        self._leave()
        if attachment._base == NULL:
            raise _failure(error, "MapViewOfFile", self.name, f"map {length} bytes at {offset} of {{}}")
        fill(m, <char *>attachment._base, length, access == "read", attachment, self.name)
        if self.reserved:
            guard = _Guard.__new__(_Guard)
            guard._base = m._address
            m._guard = guard
            m._window = _committed(m._address, length)
        return m

    def duplicate(self, str access):
        cdef Opened o
        cdef SectionHandle twin
        o.companion = NULL
        o.created = False
        o.facts.magic = 0
        o.real_size = 0
        o.attributes = 0
        self._enter("duplicate")
        try:
            o.section = self._copy(GetCurrentProcess(), access, False)
            if self._companion != NULL:
                DuplicateHandle(
                    GetCurrentProcess(), self._companion, GetCurrentProcess(), &o.companion, 0, False, DUPLICATE_SAME_ACCESS)
        finally:
            self._leave()
        twin = SectionHandle.__new__(SectionHandle)
        twin._take(&o, self.name, access)
        twin.size = self.size
        twin._real = self._real
        twin.identity = self.identity
        twin.writable = self.writable
        twin.executable = self.executable
        twin.reserved = self.reserved
        return twin

    cdef HANDLE _copy(self, HANDLE process, str access, bint inherit) except NULL:
        """By who is in."""
        cdef HANDLE copy = NULL
        cdef DWORD rights = QUERY | MAP_READ, options = 0
        if access == "write":
            rights |= MAP_WRITE
        if self.executable:
            rights |= MAP_EXECUTE
        if access == self.access:
            options = DUPLICATE_SAME_ACCESS
        if not DuplicateHandle(GetCurrentProcess(), self._section, process, &copy, rights, inherit, options):
            raise _failure(GetLastError(), "DuplicateHandle", self.name, "duplicate the handle of {}")
        return copy

    def close(self):
        if nshm_gate_close(&self._gate) >= 0:
            self._leave()


cdef SectionHandle _handle(Opened *o, object name, str access):
    cdef SectionHandle handle = SectionHandle.__new__(SectionHandle)
    handle._take(o, name, access)
    return handle


def create(
    text,
    path,
    companion,
    lock,
    long long size,
    bint exclusive,
    str access,
    bint writable,
    bint executable,
    bint reserve,
    file,
    bint inheritable,
    Descriptor security,
    Descriptor companion_security,
    Descriptor lock_security,
    unsigned long long identity,
    long long born,
    unsigned int mode,
):
    cdef Opened o
    cdef _Wide wide_path, wide_companion, wide_lock
    cdef SECURITY_ATTRIBUTES attributes = _attributes(security, inheritable)
    cdef SECURITY_ATTRIBUTES companion_attributes = _attributes(companion_security, False)
    cdef SECURITY_ATTRIBUTES lock_attributes = _attributes(lock_security, False)
    cdef HANDLE source = INVALID_HANDLE_VALUE if file is None else <HANDLE><uintptr_t>file
    cdef HANDLE mutex = NULL
    cdef LARGE_INTEGER file_size
    cdef DWORD error, protect, rights = MAP_READ | MAP_WRITE if access == "write" else MAP_READ
    cdef const char *call
    if executable:
        protect = PAGE_EXECUTE_READWRITE if writable else PAGE_EXECUTE_READ
    else:
        protect = PAGE_READWRITE if writable else PAGE_READONLY
    if reserve:
        protect |= SEC_RESERVE
    o.section = NULL
    o.companion = NULL
    o.attributes = 0
    o.created = True
    o.facts.magic = MAGIC
    o.facts.version = VERSION
    o.facts.properties = (
        (0 if writable else IS_READONLY) | (IS_EXECUTABLE if executable else 0) | (IS_RESERVED if reserve else 0)
        | (0 if file is None else IS_FILE))
    o.facts.identity = <LONG64>identity
    o.facts.size = size
    o.facts.born = born
    o.facts.pid = GetCurrentProcessId()
    o.facts.mode = mode
    if size == 0:
        if not GetFileSizeEx(source, &file_size):
            raise _failure(GetLastError(), "GetFileSizeEx", text, "create {}")
        o.facts.size = file_size.QuadPart
    o.real_size = o.facts.size if file is not None else (<ULONG64>size + 4095) & ~<ULONG64>4095
    if path is None:
        o.section = CreateFileMappingW(source, &attributes, protect, <DWORD>(size >> 32), <DWORD>size, NULL)
        if o.section == NULL:
            raise _failure(GetLastError(), "CreateFileMappingW", None, f"create {{}} with {size} bytes")
        return _handle(&o, None, access)
    wide_path, wide_companion, wide_lock = _Wide(path), _Wide(companion), _Wide(lock)
    with nogil:
        error = _lock(&mutex, wide_lock.text, &lock_attributes, &call)
        if error == 0:
            error = _create(&o, wide_path.text, wide_companion.text, &attributes, &companion_attributes, source, protect, size,
                            rights, exclusive)
            call = o.call
            _unlock(mutex)
    if error:
        raise _failure(error, call.decode(), text, f"create {{}} with {size} bytes")
    return _handle(&o, text, access)


def open_existing(text, path, companion, lock, Descriptor lock_security, str access, bint inheritable):
    cdef Opened o
    cdef _Wide wide_path = _Wide(path), wide_companion = _Wide(companion), wide_lock
    cdef SECURITY_ATTRIBUTES lock_attributes
    cdef HANDLE mutex = NULL
    cdef bint locked
    cdef DWORD rights = MAP_READ | MAP_WRITE if access == "write" else MAP_READ
    cdef DWORD error = _open(&o, wide_path.text, wide_companion.text, rights, inheritable)
    cdef const char *call = o.call
    if error == 0 and o.companion == NULL:
        # Phase O4: a plain program's section, or one of ours that was made after the companion was looked for.
        _drop(&o)
        wide_lock = _Wide(lock)
        lock_attributes = _attributes(lock_security, False)
        with nogil:
            error = _lock(&mutex, wide_lock.text, &lock_attributes, &call)
            locked = error == 0  # if not, opening must not fail for it: the facts may be missed then
            error = _open(&o, wide_path.text, wide_companion.text, rights, inheritable)
            call = o.call
            if locked:
                _unlock(mutex)
    if error:
        raise _failure(error, call.decode(), text, "open {}")
    return _handle(&o, text, access)
