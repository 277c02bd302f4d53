# Views: what keeps memory mapped, and how far it may be touched.  Part of native.pyx.

cdef class _Views:
    """How many attachments that a handle made are alive."""
    cdef Py_ssize_t living


cdef class _Attachment:
    """One MapViewOfFile; whoever refers to it keeps the memory."""
    cdef void *_base
    cdef _Views _views  # its handle's

    def __dealloc__(self):
        cdef void *base = self._base
        if self._views is not None:
            self._views.living -= 1
        if base != NULL:
            with nogil:  # giving back gigabytes takes milliseconds
                UnmapViewOfFile(base)


cdef Py_ssize_t _committed(char *start, Py_ssize_t length) noexcept nogil:
    """Bytes from ``start`` on that are committed without a gap."""
    cdef MEMORY_BASIC_INFORMATION memory
    cdef Py_ssize_t done = 0
    while done < length:
        if not VirtualQuery(start + done, &memory, sizeof(memory)) or memory.State != MEM_COMMIT:
            break
        done = <char *>memory.BaseAddress + memory.RegionSize - start
    return min(done, length)


cdef class _Guard:
    """Tells a view of a reserved section what may be touched by now.  It only knows the address, for the view keeps the memory."""
    cdef char *_base

    def __call__(self, Py_ssize_t start, Py_ssize_t end):
        return start + _committed(self._base + start, end - start)


def commit_view(Mapping mapping not None, Py_ssize_t offset, Py_ssize_t length):
    cdef MEMORY_BASIC_INFORMATION memory
    cdef char *start
    cdef Py_ssize_t pages
    mapping._enter()
    try:
        if mapping._guard is None or length == 0:
            return
        if mapping._readonly:
            raise errors.AccessDenied(
                f"This view of {mapping._label()} is read-only: commit pages through one with access 'write'", call="VirtualAlloc")
        pages = (mapping._length + 4095) & ~<Py_ssize_t>4095
        if not (0 <= offset <= pages and 0 <= length <= pages - offset):
            raise errors.InvalidArgument(
                f"Cannot commit {length} bytes at {offset}: this view of {mapping._label()} has {mapping._length} bytes",
                winerror=487, call="VirtualAlloc")
        start = mapping._address + (offset & ~<Py_ssize_t>4095)
        # Protected as the view was mapped: an executable one stays so.
        if (not VirtualQuery(mapping._address, &memory, sizeof(memory))
                or VirtualAlloc(start, mapping._address + offset + length - start, MEM_COMMIT, memory.AllocationProtect) == NULL):
            raise _failure(GetLastError(), "VirtualAlloc", mapping._name, f"commit {length} bytes at {offset} of {{}}")
    finally:
        mapping._leave()


def reach(Mapping mapping not None):
    mapping._enter()
    try:
        if mapping._guard is not None:
            mapping._window = _committed(mapping._address, mapping._length)
        return mapping._window
    finally:
        mapping._leave()


def flush(Mapping mapping not None, Py_ssize_t offset, Py_ssize_t length):
    cdef BOOL done
    cdef char *start
    cdef DWORD error = 0
    mapping._enter()
    try:
        if not (0 <= offset <= mapping._length and 0 <= length <= mapping._length - offset):
            raise errors.InvalidArgument(
                f"Cannot flush {length} bytes at {offset}: the view has {mapping._length} bytes", call="FlushViewOfFile")
        if length == 0:
            return
        start = mapping._address + offset
        with nogil:
            done = FlushViewOfFile(start, length)
            if not done:
                error = GetLastError()
        if not done:
            raise _failure(error, "FlushViewOfFile", mapping._name, f"write out {length} bytes of {{}}")
    finally:
        mapping._leave()
