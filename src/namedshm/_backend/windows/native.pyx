# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=False, freethreading_compatible=True
"""The Windows calls: sections, their companions, views, and looking around.  Which calls in which order, and why, is told at the
top of backend.py; what a name may be and what an error says is decided there too.  Documented in native.pyi.

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
from libc.stdint cimport int64_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc

from namedshm._core cimport Mapping, Pager as CorePager, fill
from namedshm._unbound cimport guard_methods
from namedshm._gate cimport (
    nshm_gate, nshm_gate_close, nshm_gate_closed, nshm_gate_enter, nshm_gate_leave, nshm_gate_open, nshm_gate_shut)

from ... import errors
from ..._arguments import check_on_abandoned, seconds

cdef extern from "namedshm_queue.h" nogil:
    ctypedef struct nshm_scope:
        pass
    ctypedef struct nshm_handle:
        uint64_t size, nonce
        int readonly, created

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
    int PyErr_ResourceWarning(PyObject *, Py_ssize_t, const char *, ...) except -1
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
cdef DWORD FILE_NOT_FOUND = 2, ACCESS_DENIED = 5, INVALID_HANDLE = 6, NOT_ENOUGH_MEMORY = 8
cdef DWORD INVALID_PARAMETER = 87, ALREADY_EXISTS = 183, ERROR_TIMEOUT = 1460
cdef DWORD DACL_SECURITY_INFORMATION = 4
cdef int TOKEN_USER_CLASS = 1, TOKEN_PRIVILEGES_CLASS = 3, TOKEN_PRIMARY_GROUP_CLASS = 5

cdef LONG64 MAGIC = 0x31574D48534D414E  # "NAMSHMW1"
cdef DWORD VERSION = 1
cdef DWORD IS_READONLY = 1, IS_EXECUTABLE = 2, IS_RESERVED = 4, IS_FILE = 8, IS_QUEUE = 16
cdef DWORD LOCK_PATIENCE = 10000  # ms; the lock is held for microseconds, so longer means that its owner was stopped
cdef int CLOSING_PATIENCE = 200   # ms for another user's process that is between its two CloseHandle calls

PAGE = 4096


#: Set by backend.py: makes the exception for a number of GetLastError().
failure = None


cdef object _failure(DWORD code, object call, object name, object doing, str kind="section"):
    return failure(code, call, name, doing, kind)


cdef int lost(object handle, str text) except -1:
    """A ResourceWarning: by default nobody sees it; ``python -X dev`` and pytest show it."""
    return PyErr_ResourceWarning(<PyObject *>handle, 1, "%U", <PyObject *>text)


cdef class _Wide:
    """A str as the wide, terminated string Windows takes; NULL for None."""
    cdef wchar_t *text

    def __cinit__(self, text):
        if text is not None:
            self.text = PyUnicode_AsWideCharString(text, NULL)

    def __dealloc__(self):
        PyMem_Free(self.text)

include "pair.pxi"
include "rights.pxi"
include "views.pxi"
include "section.pxi"
include "looking.pxi"
include "sending.pxi"
include "pages.pxi"
include "../spin.pxi"
include "sync.pxi"
include "../queue.pxi"
include "queues.pxi"
include "watch.pxi"


guard_methods(globals())
