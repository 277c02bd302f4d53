# Handing handles to other processes: DuplicateHandle.  Part of native.pyx.

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
