# Looking around: object directories, companions, and where we run.  Part of native.pyx.

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
    return (facts.size, <ULONG64>facts.identity, facts.born, facts.pid, facts.mode, max(0, <long>information.handles - 1),
            facts.properties & IS_QUEUE != 0)


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


def wine_version():
    cdef _Wide library = _Wide("ntdll.dll")
    cdef const char *(*get)() noexcept nogil
    get = <const char *(*)() noexcept nogil>GetProcAddress(GetModuleHandleW(library.text), "wine_get_version")
    return None if get == NULL else get().decode()


# -------------------------------------------------------------------------------------------------------- the other parts
