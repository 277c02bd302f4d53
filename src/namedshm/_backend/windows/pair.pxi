# A section and its companion: made, opened and closed together.  The protocol is told at the top of backend.py.  Part of
# native.pyx.

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
    if o.facts.magic and o.facts.properties & IS_QUEUE:  # as Windows says it of a name that another type of object has
        _drop(o)
        return INVALID_HANDLE
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
