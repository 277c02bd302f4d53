# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=False, freethreading_compatible=True
"""The Windows calls: sections, their companions, views, and looking around.  Which calls in which order, and why, is told at the
top of windows.py; what a name may be and what an error says is decided there too.  Documented in _windows.pyi.

The companion of a section is a mapping of one page with what Windows does not keep.  Layout:

    offset  size  field       written by                       read without the lock because
    0       8     magic       the creator, last; 0 = nothing   nothing else is looked at unless it is right
    8       4     version     the creator, before magic        it changes only while no section of this name exists, and a
    12      4     properties  the same                         reader holds the section open, or reads magic and identity
    16      8     identity    the same                         again afterwards and drops what changed meanwhile
    24      8     size        the same
    32      8     born        the same: microseconds since 1970-01-01 UTC
    40      4     pid         the same: the creator's
    44      4     mode        the same: permission bits
"""
from cython cimport critical_section, final, no_gc_clear
from cpython.mem cimport PyMem_Free
from cpython.ref cimport PyObject
from libc.stddef cimport wchar_t
from libc.stdint cimport uintptr_t
from libc.stdlib cimport calloc

from namedshm._core cimport Mapping, Pager as CorePager, fill
from namedshm._gate cimport (
    nshm_gate, nshm_gate_close, nshm_gate_closed, nshm_gate_enter, nshm_gate_leave, nshm_gate_open, nshm_gate_shut)

from .. import errors
from .._arguments import check_on_abandoned, seconds

cdef extern from *:
    """
    #include <windows.h>
    #include <winternl.h>
    #include <sddl.h>

    typedef struct {
        volatile LONG64 magic;
        DWORD version, properties;
        volatile LONG64 identity;
        ULONG64 size;
        LONG64 born;
        DWORD pid, mode;
    } namedshm_facts;

    typedef struct { PVOID base; ULONG attributes; LARGE_INTEGER size; } namedshm_section_information;
    typedef struct { ULONG attributes; ACCESS_MASK access; ULONG handles, pointers; ULONG more[10]; } namedshm_object_information;
    typedef struct { UNICODE_STRING name, type; } namedshm_directory_entry;

    NTSYSAPI NTSTATUS NTAPI NtQuerySection(HANDLE, ULONG, PVOID, SIZE_T, SIZE_T *);
    NTSYSAPI NTSTATUS NTAPI NtOpenDirectoryObject(PHANDLE, ACCESS_MASK, POBJECT_ATTRIBUTES);
    NTSYSAPI NTSTATUS NTAPI NtQueryDirectoryObject(HANDLE, PVOID, ULONG, BOOLEAN, BOOLEAN, PULONG, PULONG);

    static LONG64 namedshm_load(volatile LONG64 *p) { LONG64 v = *p; MemoryBarrier(); return v; }
    """
    ctypedef void *HANDLE
    ctypedef unsigned long DWORD
    ctypedef unsigned long ULONG
    ctypedef unsigned short USHORT
    ctypedef unsigned long long ULONG64
    ctypedef long long LONG64
    ctypedef int BOOL
    ctypedef long NTSTATUS
    ctypedef size_t SIZE_T

    ctypedef struct LARGE_INTEGER:
        LONG64 QuadPart

    ctypedef struct SECURITY_ATTRIBUTES:
        DWORD nLength
        void *lpSecurityDescriptor
        BOOL bInheritHandle

    ctypedef struct MEMORY_BASIC_INFORMATION:
        void *BaseAddress
        DWORD AllocationProtect
        SIZE_T RegionSize
        DWORD State
        DWORD Protect

    ctypedef struct UNICODE_STRING:
        USHORT Length
        USHORT MaximumLength
        wchar_t *Buffer

    ctypedef struct OBJECT_ATTRIBUTES:
        pass

    ctypedef struct SID_AND_ATTRIBUTES:
        void *Sid

    ctypedef int SID_NAME_USE

    ctypedef struct TOKEN_USER:
        SID_AND_ATTRIBUTES User

    ctypedef struct TOKEN_PRIMARY_GROUP:
        void *PrimaryGroup

    ctypedef struct LUID:
        DWORD LowPart
        long HighPart

    ctypedef struct LUID_AND_ATTRIBUTES:
        LUID Luid
        DWORD Attributes

    ctypedef struct TOKEN_PRIVILEGES:
        DWORD PrivilegeCount
        LUID_AND_ATTRIBUTES *Privileges

    ctypedef struct Facts "namedshm_facts":
        LONG64 magic
        DWORD version
        DWORD properties
        LONG64 identity
        ULONG64 size
        LONG64 born
        DWORD pid
        DWORD mode

    ctypedef struct SectionInformation "namedshm_section_information":
        ULONG attributes
        LARGE_INTEGER size

    ctypedef struct ObjectInformation "namedshm_object_information":
        ULONG access
        ULONG handles

    ctypedef struct DirectoryEntry "namedshm_directory_entry":
        UNICODE_STRING name
        UNICODE_STRING type

    HANDLE INVALID_HANDLE_VALUE
    LONG64 load "namedshm_load"(LONG64 *) nogil
    void MemoryBarrier() nogil
    LONG64 InterlockedExchange64(LONG64 *, LONG64) nogil
    void InitializeObjectAttributes(OBJECT_ATTRIBUTES *, UNICODE_STRING *, ULONG, HANDLE, void *) nogil

    HANDLE CreateFileMappingW(HANDLE, SECURITY_ATTRIBUTES *, DWORD, DWORD, DWORD, const wchar_t *) nogil
    HANDLE OpenFileMappingW(DWORD, BOOL, const wchar_t *) nogil
    void *MapViewOfFile(HANDLE, DWORD, DWORD, DWORD, SIZE_T) nogil
    BOOL UnmapViewOfFile(const void *) nogil
    BOOL FlushViewOfFile(const void *, SIZE_T) nogil
    BOOL GetFileSizeEx(HANDLE, LARGE_INTEGER *) nogil
    void *VirtualAlloc(void *, SIZE_T, DWORD, DWORD) nogil
    SIZE_T VirtualQuery(const void *, MEMORY_BASIC_INFORMATION *, SIZE_T) nogil
    BOOL CloseHandle(HANDLE) nogil
    BOOL DuplicateHandle(HANDLE, HANDLE, HANDLE, HANDLE *, DWORD, BOOL, DWORD) nogil
    HANDLE CreateMutexExW(SECURITY_ATTRIBUTES *, const wchar_t *, DWORD, DWORD) nogil
    BOOL ReleaseMutex(HANDLE) nogil
    DWORD WaitForSingleObject(HANDLE, DWORD) nogil
    HANDLE GetCurrentProcess() nogil
    DWORD GetCurrentProcessId() nogil
    HANDLE OpenProcess(DWORD, BOOL, DWORD) nogil
    BOOL ProcessIdToSessionId(DWORD, DWORD *) nogil
    DWORD GetLastError() nogil
    void Sleep(DWORD) nogil
    void *LocalFree(void *) nogil
    HANDLE GetModuleHandleW(const wchar_t *) nogil
    void *GetProcAddress(HANDLE, const char *) nogil

    BOOL ConvertStringSecurityDescriptorToSecurityDescriptorW(const wchar_t *, DWORD, void **, ULONG *) nogil
    BOOL SetKernelObjectSecurity(HANDLE, DWORD, void *) nogil
    BOOL ConvertSidToStringSidW(void *, wchar_t **) nogil
    BOOL LookupAccountNameW(const wchar_t *, const wchar_t *, void *, DWORD *, wchar_t *, DWORD *, SID_NAME_USE *) nogil
    BOOL LookupPrivilegeValueW(const wchar_t *, const wchar_t *, LUID *) nogil
    BOOL OpenProcessToken(HANDLE, DWORD, HANDLE *) nogil
    BOOL GetTokenInformation(HANDLE, int, void *, DWORD, DWORD *) nogil

    NTSTATUS NtQuerySection(HANDLE, ULONG, void *, SIZE_T, SIZE_T *) nogil
    NTSTATUS NtQueryObject(HANDLE, int, void *, ULONG, ULONG *) nogil
    NTSTATUS NtOpenDirectoryObject(HANDLE *, DWORD, OBJECT_ATTRIBUTES *) nogil
    NTSTATUS NtQueryDirectoryObject(HANDLE, void *, ULONG, int, int, ULONG *, ULONG *) nogil
    ULONG RtlNtStatusToDosError(NTSTATUS) nogil

cdef extern from "Python.h":
    wchar_t *PyUnicode_AsWideCharString(object, Py_ssize_t *) except NULL
    object PyUnicode_FromWideChar(const wchar_t *, Py_ssize_t)

# Object access: the rights of a section.  FILE_MAP_COPY has the value of QUERY, so "read" must never be asked for as 1 alone.
cdef DWORD QUERY = 1, MAP_WRITE = 2, MAP_READ = 4, MAP_EXECUTE = 8, FILE_MAP_COPY = 1, FILE_MAP_EXECUTE = 0x20
cdef DWORD PAGE_READONLY = 2, PAGE_READWRITE = 4, PAGE_EXECUTE_READ = 0x20, PAGE_EXECUTE_READWRITE = 0x40
cdef DWORD MEM_COMMIT = 0x1000
cdef DWORD SEC_FILE = 0x800000, SEC_RESERVE = 0x4000000
cdef DWORD DUPLICATE_CLOSE_SOURCE = 1, DUPLICATE_SAME_ACCESS = 2
cdef DWORD SYNCHRONIZE = 0x100000, MUTEX_MODIFY_STATE = 1, PROCESS_DUP_HANDLE = 0x40, TOKEN_QUERY = 8
cdef DWORD WAIT_OBJECT_0 = 0, WAIT_ABANDONED = 0x80, WAIT_TIMEOUT = 258
cdef DWORD FILE_NOT_FOUND = 2, ACCESS_DENIED = 5, INVALID_PARAMETER = 87, ALREADY_EXISTS = 183, ERROR_TIMEOUT = 1460
cdef DWORD DACL_SECURITY_INFORMATION = 4
cdef int TOKEN_USER_CLASS = 1, TOKEN_PRIVILEGES_CLASS = 3, TOKEN_PRIMARY_GROUP_CLASS = 5

cdef LONG64 MAGIC = 0x31574D48534D414E  # "NAMSHMW1"
cdef DWORD VERSION = 1
cdef DWORD IS_READONLY = 1, IS_EXECUTABLE = 2, IS_RESERVED = 4, IS_FILE = 8
cdef DWORD LOCK_PATIENCE = 10000  # ms; the lock is held for microseconds, so longer means that its owner was stopped
cdef int CLOSING_PATIENCE = 200   # ms for another user's process that is between its two CloseHandle calls

PAGE = 4096


# -------------------------------------------------------------------------------------------------------- C level: the protocol
# One open section as the functions below hand it up; `call` names what failed.
cdef struct Opened:
    HANDLE section
    HANDLE companion
    Facts facts         # magic 0: the creator does not tell
    ULONG64 real_size   # what Windows says; 0: it does not
    ULONG attributes    # SEC_*
    bint created
    const char *call


cdef void _drop(Opened *o) noexcept nogil:
    # The section first: a companion is held for as long as the section it belongs to, by everyone (rule 1).
    if o.section != NULL:
        CloseHandle(o.section)
        o.section = NULL
    if o.companion != NULL:
        CloseHandle(o.companion)
        o.companion = NULL


cdef DWORD _remember(HANDLE companion, Facts *facts) noexcept nogil:
    cdef Facts *page = <Facts *>MapViewOfFile(companion, MAP_READ | MAP_WRITE, 0, 0, sizeof(Facts))
    cdef DWORD error
    if page == NULL:
        error = GetLastError()
        return error
    InterlockedExchange64(&page.magic, 0)
    page.version = facts.version
    page.properties = facts.properties
    page.identity = facts.identity
    page.size = facts.size
    page.born = facts.born
    page.pid = facts.pid
    page.mode = facts.mode
    InterlockedExchange64(&page.magic, facts.magic)  # last: it says that the rest is complete
    UnmapViewOfFile(page)
    return 0


cdef void _recall(HANDLE companion, Facts *facts) noexcept nogil:
    """Facts of a companion, or magic 0.

    list_objects() does not hold the section, so a companion may be taken over while it reads: magic and identity are looked at
    again, in this order.  What was written over has another identity by the time its magic is back.
    """
    cdef Facts *page = <Facts *>MapViewOfFile(companion, MAP_READ, 0, 0, sizeof(Facts))
    facts.magic = 0
    if page == NULL:
        return
    if load(&page.magic) == MAGIC and page.version == VERSION:
        facts.identity = load(&page.identity)
        facts.version = page.version
        facts.properties = page.properties
        facts.size = page.size
        facts.born = page.born
        facts.pid = page.pid
        facts.mode = page.mode
        MemoryBarrier()
        facts.magic = load(&page.magic)
        if facts.magic != MAGIC or load(&page.identity) != facts.identity:
            facts.magic = 0
    UnmapViewOfFile(page)


cdef void _measure(Opened *o) noexcept nogil:
    """What Windows itself knows of the section."""
    cdef SectionInformation information
    cdef MEMORY_BASIC_INFORMATION memory
    cdef void *view
    o.real_size = 0
    o.attributes = 0
    if NtQuerySection(o.section, 0, &information, sizeof(information), NULL) >= 0:
        o.real_size = information.size.QuadPart
        o.attributes = information.attributes
        return
    view = MapViewOfFile(o.section, MAP_READ, 0, 0, 0)  # no right to query: a view tells as much
    if view != NULL:
        if VirtualQuery(view, &memory, sizeof(memory)):
            o.real_size = memory.RegionSize
        UnmapViewOfFile(view)


cdef DWORD _open(Opened *o, const wchar_t *path, const wchar_t *companion, DWORD rights, BOOL inherit) noexcept nogil:
    """Phases O1 to O3: companion, section, facts."""
    cdef HANDLE again
    cdef DWORD error
    o.created = False
    o.call = "OpenFileMappingW"
    o.companion = OpenFileMappingW(MAP_READ, False, companion)
    o.section = OpenFileMappingW(rights | QUERY, inherit, path)
    if o.section == NULL and GetLastError() == ACCESS_DENIED:
        # A plain program's descriptor may grant mapping and nothing else.
        o.section = OpenFileMappingW(rights, inherit, path)
    if o.section == NULL:
        error = GetLastError()
        _drop(o)
        return error
    _measure(o)
    o.facts.magic = 0
    if o.companion != NULL:
        _recall(o.companion, &o.facts)
        if o.facts.magic and o.real_size and (o.facts.size + 4095) & ~<ULONG64>4095 != (o.real_size + 4095) & ~<ULONG64>4095:
            o.facts.magic = 0  # a plain program made its own section between C4 and C5: these facts are not its
    if o.facts.magic and o.facts.properties & IS_EXECUTABLE:
        again = OpenFileMappingW(rights | QUERY | FILE_MAP_EXECUTE | MAP_EXECUTE, inherit, path)
        if again == NULL:
            o.facts.properties &= ~IS_EXECUTABLE  # it is, but not for us
        else:
            CloseHandle(o.section)
            o.section = again
    return 0


cdef DWORD _lock(HANDLE *lock, const wchar_t *name, SECURITY_ATTRIBUTES *security, const char **call) noexcept nogil:
    cdef DWORD error, state
    call[0] = "CreateMutexExW"
    # Not CreateMutexW: it asks an existing mutex for all rights, which another user's does not give.
    lock[0] = CreateMutexExW(security, name, 0, SYNCHRONIZE | MUTEX_MODIFY_STATE)
    if lock[0] == NULL:
        return GetLastError()
    state = WaitForSingleObject(lock[0], LOCK_PATIENCE)
    if state == WAIT_OBJECT_0 or state == WAIT_ABANDONED:  # abandoned: a creator was killed; C3 and C4 repair what it left
        return 0
    call[0] = "WaitForSingleObject"
    error = ERROR_TIMEOUT if state == WAIT_TIMEOUT else GetLastError()
    CloseHandle(lock[0])
    return error


cdef void _unlock(HANDLE lock) noexcept nogil:
    ReleaseMutex(lock)
    CloseHandle(lock)


cdef DWORD _companion(Opened *o, const wchar_t *name, SECURITY_ATTRIBUTES *security) noexcept nogil:
    """Phase C3: make the companion, or take over one whose section is gone."""
    cdef HANDLE other
    cdef DWORD error = 0
    cdef int _
    for _ in range(CLOSING_PATIENCE):
        o.companion = CreateFileMappingW(INVALID_HANDLE_VALUE, security, PAGE_READWRITE, 0, 4096, name)
        error = GetLastError()
        if o.companion != NULL:
            if error == ALREADY_EXISTS and security.lpSecurityDescriptor != NULL:
                # A left one has the rights of its time.  Failing would only mean that others see a rounded size.
                SetKernelObjectSecurity(o.companion, DACL_SECURITY_INFORMATION, security.lpSecurityDescriptor)
            return 0
        if error != ACCESS_DENIED:
            break
        # Denied by the namespace, or by another user's companion that is about to go?
        other = OpenFileMappingW(MAP_READ, False, name)
        if other == NULL and GetLastError() == FILE_NOT_FOUND:
            break
        if other != NULL:
            CloseHandle(other)
        Sleep(1)
    o.call = "CreateFileMappingW"
    return error


cdef DWORD _create(
    Opened *o,
    const wchar_t *path,
    const wchar_t *companion,
    SECURITY_ATTRIBUTES *security,
    SECURITY_ATTRIBUTES *companion_security,
    HANDLE file,
    DWORD protect,
    ULONG64 size,
    DWORD rights,
    bint exclusive,
) noexcept nogil:
    """Phases C2 to C5, with the lock held.  o.facts are those of the section to be made."""
    cdef Facts facts = o.facts
    cdef DWORD error = _open(o, path, companion, rights, security.bInheritHandle)
    if error == 0 and not exclusive:
        return 0
    o.call = "CreateFileMappingW"  # what would say so
    if error == 0:
        _drop(o)
        return ALREADY_EXISTS
    if error == ACCESS_DENIED and exclusive:
        return ALREADY_EXISTS  # it is there, and that is the answer, whoever it belongs to
    if error != FILE_NOT_FOUND:
        return error
    error = _companion(o, companion, companion_security)
    if error:
        return error
    error = _remember(o.companion, &facts)
    if error:
        o.call = "MapViewOfFile"
        _drop(o)
        return error
    o.call = "CreateFileMappingW"
    o.section = CreateFileMappingW(file, security, protect, <DWORD>(size >> 32), <DWORD>size, path)
    error = GetLastError()
    if o.section != NULL and error != ALREADY_EXISTS:
        o.created = True
        o.facts = facts
        return 0
    facts.magic = 0
    _remember(o.companion, &facts)  # it failed, or a plain program was faster: these facts belong to nothing
    if o.section == NULL:
        _drop(o)
        return error
    _drop(o)
    return ALREADY_EXISTS if exclusive else _open(o, path, companion, rights, security.bInheritHandle)


# -------------------------------------------------------------------------------------------------------- errors and strings
#: Set by windows.py: makes the exception for a number of GetLastError().
failure = None


cdef object _failure(DWORD code, object call, object name, object doing, str kind="section"):
    return failure(code, call, name, doing, kind)


cdef class _Wide:
    """A str as the wide, terminated string Windows takes; NULL for None."""
    cdef wchar_t *text

    def __cinit__(self, text):
        if text is not None:
            self.text = PyUnicode_AsWideCharString(text, NULL)

    def __dealloc__(self):
        PyMem_Free(self.text)


cdef class Descriptor:
    cdef void *_pointer

    def __cinit__(self, str sddl):
        cdef _Wide text = _Wide(sddl)
        if not ConvertStringSecurityDescriptorToSecurityDescriptorW(text.text, 1, &self._pointer, NULL):
            raise _failure(
                GetLastError(), "ConvertStringSecurityDescriptorToSecurityDescriptorW", None, f"make a descriptor of {sddl!r}")

    def __dealloc__(self):
        if self._pointer != NULL:
            LocalFree(self._pointer)


cdef SECURITY_ATTRIBUTES _attributes(Descriptor descriptor, bint inheritable):
    cdef SECURITY_ATTRIBUTES attributes
    attributes.nLength = sizeof(SECURITY_ATTRIBUTES)
    attributes.lpSecurityDescriptor = NULL if descriptor is None else descriptor._pointer
    attributes.bInheritHandle = inheritable
    return attributes


# -------------------------------------------------------------------------------------------------------- views
cdef class _Attachment:
    """One MapViewOfFile; whoever refers to it keeps the memory."""
    cdef void *_base

    def __dealloc__(self):
        cdef void *base = self._base
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


# -------------------------------------------------------------------------------------------------------- handles
@no_gc_clear
cdef class SectionHandle:
    cdef nshm_gate _gate
    cdef HANDLE _section      # not changed from _take() on, also by closing: whoever is in may use it
    cdef HANDLE _companion
    cdef long long _real  # bytes that Windows lets be mapped: whole pages of memory, but a file's size exactly
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
        if not (0 <= offset < pages and 0 < length <= pages - offset):  # windows.py says it better, of numbers that do not lie
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
        attachment = _Attachment.__new__(_Attachment)
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


# -------------------------------------------------------------------------------------------------------- between processes
def check_process(unsigned int pid):
    cdef HANDLE process = OpenProcess(PROCESS_DUP_HANDLE | SYNCHRONIZE, False, pid)
    cdef DWORD state
    if process == NULL:
        raise _failure(GetLastError(), "OpenProcess", None, f"reach process {pid}")
    state = WaitForSingleObject(process, 0)
    CloseHandle(process)
    if state == WAIT_OBJECT_0:  # it has ended, and somebody's handle keeps its number
        raise _failure(INVALID_PARAMETER, "OpenProcess", None, f"reach process {pid}")


def send(handle, unsigned int pid, str access):
    cdef HANDLE process, copy
    cdef SyncHandle sync = handle if isinstance(handle, SyncHandle) else None
    cdef SectionHandle section = None if sync is not None else <SectionHandle?>handle
    process = OpenProcess(PROCESS_DUP_HANDLE, False, pid)
    if process == NULL:
        raise _failure(GetLastError(), "OpenProcess", handle.name, f"send {{}} to process {pid}")
    try:
        if sync is not None:
            copy = sync._copy(process, access)
        else:
            section._enter("send")
            try:
                copy = section._copy(process, access, False)
            finally:
                section._leave()
    finally:
        CloseHandle(process)
    return <uintptr_t>copy


cdef object _string(HANDLE handle, int kind):
    """A string that NtQueryObject tells: 1 the object's path, 2 its type."""
    cdef char buffer[2048]
    cdef UNICODE_STRING *string = <UNICODE_STRING *>buffer
    cdef NTSTATUS status = NtQueryObject(handle, kind, buffer, sizeof(buffer), NULL)
    if status < 0:
        raise _failure(RtlNtStatusToDosError(status), "NtQueryObject", None, "take over the handle")
    return PyUnicode_FromWideChar(string.Buffer, string.Length // 2) if string.Length else ""


def object_path(value):
    cdef HANDLE handle = <HANDLE><uintptr_t>value
    return _string(handle, 2), _string(handle, 1)


def receive(value, text, companion):
    cdef Opened o
    cdef ObjectInformation information
    cdef _Wide wide_companion = _Wide(companion)
    cdef NTSTATUS status
    o.section = <HANDLE><uintptr_t>value
    o.companion = NULL
    o.facts.magic = 0
    o.created = False
    status = NtQueryObject(o.section, 0, &information, sizeof(information), NULL)
    if status < 0:
        raise _failure(RtlNtStatusToDosError(status), "NtQueryObject", None, "take over the handle")
    _measure(&o)
    if companion is not None:
        # The handle keeps the section alive under its name, so a companion of that name is the section's own (rule 2).
        o.companion = OpenFileMappingW(MAP_READ, False, wide_companion.text)
        if o.companion != NULL:
            _recall(o.companion, &o.facts)
    return _handle(&o, text, "write" if information.access & MAP_WRITE else "read")


def receive_sync(value, text, str kind):
    cdef HANDLE handle = <HANDLE><uintptr_t>value
    cdef ObjectInformation information
    cdef NTSTATUS status = NtQueryObject(handle, 0, &information, sizeof(information), NULL)
    cdef str access
    if status < 0:
        raise _failure(RtlNtStatusToDosError(status), "NtQueryObject", text, "take over the handle", kind)
    if information.access & SYNCHRONIZE:
        access = "full" if information.access & _sync_rights(kind, "modify") else "wait"
    else:
        access = "modify"
    return _sync_handle(SyncHandle, handle, text, kind, access, False)


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


# -------------------------------------------------------------------------------------------------------- looking around
def facts_of(companion):
    cdef _Wide wide = _Wide(companion)
    cdef Facts facts
    cdef ObjectInformation information
    cdef HANDLE handle = OpenFileMappingW(MAP_READ, False, wide.text)
    if handle == NULL:
        return None
    _recall(handle, &facts)
    information.handles = 0
    NtQueryObject(handle, 0, &information, sizeof(information), NULL)
    CloseHandle(handle)
    if not facts.magic:
        return None
    return facts.size, <ULONG64>facts.identity, facts.born, facts.pid, facts.mode, max(0, <long>information.handles - 1)


def directory(str path):
    cdef _Wide wide = _Wide(path)
    cdef UNICODE_STRING name
    cdef OBJECT_ATTRIBUTES attributes
    cdef HANDLE handle = NULL
    cdef char buffer[4096]
    cdef DirectoryEntry *entry
    cdef ULONG context = 0, used
    cdef bint restart = True
    cdef NTSTATUS status
    cdef list found = []
    name.Buffer = wide.text
    name.Length = name.MaximumLength = <USHORT>(2 * len(path))
    InitializeObjectAttributes(&attributes, &name, 0, NULL, NULL)
    status = NtOpenDirectoryObject(&handle, 1, &attributes)
    if status < 0:
        raise _failure(RtlNtStatusToDosError(status), "NtOpenDirectoryObject", None, f"list {path}")
    try:
        while True:  # one entry a call: Wine 8 does not do it in any other way
            status = NtQueryDirectoryObject(handle, buffer, sizeof(buffer), True, restart, &context, &used)
            restart = False
            if status != 0:  # no more entries
                break
            entry = <DirectoryEntry *>buffer
            found.append((
                PyUnicode_FromWideChar(entry.name.Buffer, entry.name.Length // 2),
                PyUnicode_FromWideChar(entry.type.Buffer, entry.type.Length // 2)))
    finally:
        CloseHandle(handle)
    return found


def session_id():
    cdef DWORD number = 0
    ProcessIdToSessionId(GetCurrentProcessId(), &number)
    return number


cdef bytes _token(int kind):
    cdef HANDLE token = NULL
    cdef DWORD size = 0
    cdef bytearray data
    if not OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &token):
        raise _failure(GetLastError(), "OpenProcessToken", None, "look at the rights of this process")
    try:
        GetTokenInformation(token, kind, NULL, 0, &size)
        data = bytearray(size)
        if not GetTokenInformation(token, kind, <char *>data, size, &size):
            raise _failure(GetLastError(), "GetTokenInformation", None, "look at the rights of this process")
    finally:
        CloseHandle(token)
    return bytes(data)


def can_create_global():
    cdef LUID wanted
    cdef TOKEN_PRIVILEGES *privileges
    cdef _Wide name = _Wide("SeCreateGlobalPrivilege")
    cdef bytes data = _token(TOKEN_PRIVILEGES_CLASS)
    cdef DWORD i
    if not LookupPrivilegeValueW(NULL, name.text, &wanted):
        return False
    privileges = <TOKEN_PRIVILEGES *><char *>data
    for i in range(privileges.PrivilegeCount):
        if privileges.Privileges[i].Luid.LowPart == wanted.LowPart and privileges.Privileges[i].Luid.HighPart == wanted.HighPart:
            return privileges.Privileges[i].Attributes & 2 != 0  # SE_PRIVILEGE_ENABLED
    return False


cdef object _sid_text(void *sid):
    cdef wchar_t *text = NULL
    if not ConvertSidToStringSidW(sid, &text):
        raise _failure(GetLastError(), "ConvertSidToStringSidW", None, "name a user")
    try:
        return PyUnicode_FromWideChar(text, -1)
    finally:
        LocalFree(text)


def user_sid():
    cdef bytes data = _token(TOKEN_USER_CLASS)
    return _sid_text((<TOKEN_USER *><char *>data).User.Sid)


def group_sid():
    cdef bytes data = _token(TOKEN_PRIMARY_GROUP_CLASS)
    return _sid_text((<TOKEN_PRIMARY_GROUP *><char *>data).PrimaryGroup)


def account_sid(str account):
    cdef _Wide name = _Wide(account)
    cdef char sid[128]
    cdef wchar_t domain[512]
    cdef DWORD size = sizeof(sid), domain_size = 512
    cdef SID_NAME_USE use
    if not LookupAccountNameW(NULL, name.text, sid, &size, domain, &domain_size, &use):
        raise _failure(GetLastError(), "LookupAccountNameW", None, f"find the group {account!r}")
    return _sid_text(sid)


def wine_version():
    cdef _Wide library = _Wide("ntdll.dll")
    cdef const char *(*get)() noexcept nogil
    get = <const char *(*)() noexcept nogil>GetProcAddress(GetModuleHandleW(library.text), "wine_get_version")
    return None if get == NULL else get().decode()


# -------------------------------------------------------------------------------------------------------- the other parts
include "_windows_pages.pxi"
include "_spin.pxi"
include "_windows_sync.pxi"
include "_windows_watch.pxi"
