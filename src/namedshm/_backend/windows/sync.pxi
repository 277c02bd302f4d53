# Synchronisation objects on Windows: each call is one of kernel32's.  Part of native.pyx, for strings and errors are there.

cdef extern from *:
    """
    /* Exported by every CPython for Windows for the sake of its own waiting modules: an event that Ctrl-C sets. */
    PyAPI_FUNC(void *) _PyOS_SigintEvent(void);
    PyAPI_FUNC(int) _PyOS_IsMainThread(void);
    """
    void *_PyOS_SigintEvent()
    int _PyOS_IsMainThread()

    HANDLE CreateEventExW(SECURITY_ATTRIBUTES *, const wchar_t *, DWORD, DWORD) nogil
    HANDLE CreateSemaphoreExW(SECURITY_ATTRIBUTES *, long, long, const wchar_t *, DWORD, DWORD) nogil
    HANDLE OpenMutexW(DWORD, BOOL, const wchar_t *) nogil
    HANDLE OpenEventW(DWORD, BOOL, const wchar_t *) nogil
    HANDLE OpenSemaphoreW(DWORD, BOOL, const wchar_t *) nogil
    BOOL SetEvent(HANDLE) nogil
    BOOL ResetEvent(HANDLE) nogil
    BOOL PulseEvent(HANDLE) nogil
    BOOL ReleaseSemaphore(HANDLE, long, long *) nogil
    DWORD WaitForMultipleObjects(DWORD, const HANDLE *, BOOL, DWORD) nogil
    ULONG64 GetTickCount64() nogil

cdef extern from "Python.h":
    int PyErr_CheckSignals() except -1

cdef DWORD CREATE_MUTEX_INITIAL_OWNER = 1, CREATE_EVENT_MANUAL_RESET = 1, CREATE_EVENT_INITIAL_SET = 2
cdef DWORD READ_CONTROL = 0x20000, INFINITE = 0xFFFFFFFF, WAIT_FAILED = 0xFFFFFFFF
cdef enum:
    MOST = 64
# How often a wait that cannot take Ctrl-C's event along (for all, or for 64) looks for Ctrl-C, ms.
cdef DWORD LOOK = 100


cdef DWORD _sync_rights(str kind, str access):
    # Mutexes have no right to query; 1 is MUTEX_MODIFY_STATE, 2 is MODIFY_STATE of the other two.
    cdef DWORD modify = 1 if kind == "mutex" else 2
    if access == "wait":
        return SYNCHRONIZE
    if access == "modify":
        return modify
    return SYNCHRONIZE | modify


#: Set by sync.py: what acquiring a mutex returns, (acquired, abandoned, not acquired), and what makes AbandonedMutex.
cdef object acquired, abandoned_acquired, not_acquired, abandoned_error


def set_acquisitions(got, abandoned, not_got, error):
    global acquired, abandoned_acquired, not_acquired, abandoned_error
    acquired, abandoned_acquired, not_acquired, abandoned_error = got, abandoned, not_got, error


# Milliseconds of a timeout, rounded up: 0 for none, negative for ever.  Converting may run Python code: before all else.
cdef long long _milliseconds(object timeout, str call, object name) except -2:
    cdef object length = seconds(timeout, call, name)
    if length is None:
        return -1
    return <long long>min(<double>length * 1000 + 0.999, 1e15) if length > 0 else 0


@no_gc_clear
cdef class SyncHandle:
    """contract.SyncHandle; the classes of sync.py inherit from it, so that their quick paths are C.

    A number that was closed may be another object's at once, so it is closed by the last one out of the gate.  A wait is in for as
    long as it lasts: until then the name stays, though the handle was closed.
    """
    cdef nshm_gate _gate
    cdef HANDLE _handle      # not changed from _sync_handle() on, also by closing
    cdef readonly object name
    cdef readonly str kind
    cdef readonly str access
    cdef readonly bint created
    cdef set _waits  # of event loops, watched now (watch.pxi)
    cdef object __weakref__

    def __cinit__(self, *args, **kwargs):
        nshm_gate_shut(&self._gate)

    def __del__(self):
        cdef MutexInformation mutex
        if nshm_gate_closed(&self._gate) or self.kind != "mutex" or self.name is None:
            return
        if NtQueryMutant(self._handle, 0, &mutex, sizeof(mutex), NULL) >= 0 and mutex.count <= 0 and mutex.mine:
            lost(self, f"mutex {self.name!r} is collected while this thread owns it, and guards nothing any more: keep it")

    def __dealloc__(self):
        if not nshm_gate_closed(&self._gate):
            CloseHandle(self._handle)

    @property
    def identity(self):
        """A 64-bit number no other object ever has (0: unknown, as on Windows)."""
        return 0  # Windows does not tell, and there is no place to keep one

    @property
    def closed(self):
        """Whether this handle was closed."""
        return bool(nshm_gate_closed(&self._gate))

    @property
    def os_handle(self):
        self._valid("use")
        return <uintptr_t>self._handle

    @final
    cdef int _valid(self, str doing) except -1:
        if nshm_gate_closed(&self._gate):
            raise errors.ClosedHandle(
                f"Cannot {doing} {self._label()}: this handle is closed, open it again", name=self.name, call=doing)
        return 0

    @final
    cdef int _enter(self, str doing) except -1:
        if not nshm_gate_enter(&self._gate):
            self._valid(doing)
        return 0

    # The error of the call before, which closing would change.
    @final
    cdef DWORD _leave(self, bint done) noexcept:
        cdef DWORD error = 0 if done else GetLastError() or 31
        if nshm_gate_leave(&self._gate):
            CloseHandle(self._handle)
        return error

    cdef object _label(self):
        return f"an unnamed {self.kind}" if self.name is None else f"{self.kind} {self.name!r}"

    cdef object _failed(self, DWORD code, str call, str doing):
        return _failure(code, call, self.name, doing, self.kind)

    def try_acquire(self):
        cdef DWORD state, error
        self._enter("wait for")
        state = WaitForSingleObject(self._handle, 0)
        error = self._leave(state != WAIT_FAILED)
        if state == WAIT_OBJECT_0:
            return 0
        if state == WAIT_TIMEOUT:
            return -1
        if state == WAIT_ABANDONED:
            return 0x80
        raise self._failed(error, "WaitForSingleObject", "wait for {}")

    def acquire_mutex(self, timeout=None, *, on_abandoned="tell", double spin=SPIN):
        cdef bint tell = on_abandoned == "tell"
        cdef long long patience = _milliseconds(timeout, "acquire", self.name)
        if not tell:
            check_on_abandoned(on_abandoned)
        got = self.try_acquire()
        if got < 0:
            if not patience:
                return not_acquired
            index, got = wait_for((self,), False, patience)
            if index < 0:
                return not_acquired
        if not got:
            return acquired
        if tell:
            return abandoned_acquired
        raise abandoned_error(self.name)

    def wait_event(self, timeout=None, *, double spin=SPIN):
        return self._wait_one(_milliseconds(timeout, "wait", self.name))

    def acquire_semaphore(self, timeout=None, *, double spin=SPIN):
        return self._wait_one(_milliseconds(timeout, "acquire", self.name))

    @final
    cdef bint _wait_one(self, long long patience) except -1:
        if self.try_acquire() >= 0:
            return True
        if not patience:
            return False
        return wait_for((self,), False, patience)[0] >= 0

    def look(self):
        """What it is at this moment: (would a wait succeed, a semaphore's count, the thread that owns a mutex)."""
        cdef EventInformation event
        cdef SemaphoreInformation semaphore
        cdef MutexInformation mutex
        cdef OwnerInformation owner
        cdef HANDLE handle = NULL
        cdef NTSTATUS status = 0
        cdef DWORD error
        self._enter("look")
        # The right to look is not among those of a handle that waits and changes; the object's own rights decide.
        error = self._leave(DuplicateHandle(GetCurrentProcess(), self._handle, GetCurrentProcess(), &handle, QUERY_STATE, False, 0))
        if error:
            raise self._failed(error, "DuplicateHandle", "look at {}")
        owner.thread = NULL
        if self.kind == "mutex":
            status = NtQueryMutant(handle, 0, &mutex, sizeof(mutex), NULL)
            if status >= 0 and mutex.count <= 0 and NtQueryMutant(handle, 1, &owner, sizeof(owner), NULL) < 0:
                owner.thread = NULL  # before Windows 8, and under Wine
        elif self.kind == "event":
            status = NtQueryEvent(handle, 0, &event, sizeof(event), NULL)
        else:
            status = NtQuerySemaphore(handle, 0, &semaphore, sizeof(semaphore), NULL)
        CloseHandle(handle)
        if status < 0:
            raise self._failed(RtlNtStatusToDosError(status), "NtQueryObject", "look at {}")
        if self.kind == "mutex":
            return mutex.count > 0, 0, <uintptr_t>owner.thread or None
        if self.kind == "event":
            return bool(event.state), 0, None
        return semaphore.count > 0, semaphore.count, None

    def exit_mutex(self, kind, error, trace):
        self.release_mutex()

    def release_mutex(self):
        cdef DWORD error
        self._enter("release")
        error = self._leave(ReleaseMutex(self._handle))
        if error:
            raise self._failed(error, "ReleaseMutex", "release {}")

    def set_event(self):
        cdef DWORD error
        self._enter("set")
        error = self._leave(SetEvent(self._handle))
        if error:
            raise self._failed(error, "SetEvent", "set {}")

    def reset_event(self):
        cdef DWORD error
        self._enter("reset")
        error = self._leave(ResetEvent(self._handle))
        if error:
            raise self._failed(error, "ResetEvent", "reset {}")

    def pulse_event(self):
        cdef DWORD error
        self._enter("pulse")
        error = self._leave(PulseEvent(self._handle))
        if error:
            raise self._failed(error, "PulseEvent", "pulse {}")

    def release_semaphore(self, long count):
        """Give so many back to a semaphore; the count before."""
        cdef long before = 0
        cdef DWORD error
        self._enter("release")
        error = self._leave(ReleaseSemaphore(self._handle, count, &before))
        if error:
            raise self._failed(error, "ReleaseSemaphore", f"release {{}} by {count}")
        return before

    cdef HANDLE _copy(self, HANDLE process, str access) except NULL:
        cdef HANDLE copy = NULL
        cdef DWORD options = DUPLICATE_SAME_ACCESS if access == self.access else 0
        cdef DWORD rights = _sync_rights(self.kind, access), error
        self._enter("duplicate")
        error = self._leave(DuplicateHandle(GetCurrentProcess(), self._handle, process, &copy, rights, False, options))
        if error:
            raise self._failed(error, "DuplicateHandle", "duplicate the handle of {}")
        return copy

    def duplicate_as(self, str access):
        """Another handle of the same class to the same object, with this access."""
        return _sync_handle(type(self), self._copy(GetCurrentProcess(), access), self.name, self.kind, access, False)

    cdef int watch(self, Wait wait) except -1:
        with critical_section(self):
            if self._waits is None:
                self._waits = set()
            self._waits.add(wait)
        return 0

    cdef int unwatch(self, Wait wait) except -1:
        if self._waits is not None:
            self._waits.discard(wait)
        return 0

    def close(self):
        if nshm_gate_close(&self._gate) < 0:
            return
        self._leave(True)
        for wait in list(self._waits or ()):
            (<Wait>wait).handle_closed()


cdef SyncHandle _sync_handle(object cls, HANDLE handle, object name, str kind, str access, bint created):
    cdef SyncHandle made = SyncHandle.__new__(cls)
    made._handle = handle
    made.name = name
    made.kind = kind
    made.access = access
    made.created = created
    nshm_gate_open(&made._gate)
    return made


def create_sync(
    cls, str kind, text, path, bint exclusive, long initial, bint manual, long maximum, bint inheritable, Descriptor security
):
    cdef _Wide wide = _Wide(path)
    cdef SECURITY_ATTRIBUTES attributes = _attributes(security, inheritable)
    cdef DWORD rights = _sync_rights(kind, "full") | READ_CONTROL
    cdef HANDLE handle
    cdef DWORD error
    if kind == "mutex":
        # The Ex forms: the plain ones ask an existing object for all rights, which another user's does not give.
        handle = CreateMutexExW(&attributes, wide.text, CREATE_MUTEX_INITIAL_OWNER if initial else 0, rights)
    elif kind == "event":
        handle = CreateEventExW(
            &attributes, wide.text,
            (CREATE_EVENT_MANUAL_RESET if manual else 0) | (CREATE_EVENT_INITIAL_SET if initial else 0), rights)
    else:
        handle = CreateSemaphoreExW(&attributes, initial, maximum, wide.text, 0, rights)
    error = GetLastError()
    if handle != NULL and error == ALREADY_EXISTS and exclusive:
        CloseHandle(handle)
        handle = NULL
    if handle == NULL:
        raise _failure(error, f"Create{kind.capitalize()}ExW", text, "create {}", kind)
    return _sync_handle(cls, handle, text, kind, "full", error != ALREADY_EXISTS)


def open_sync(cls, str kind, text, path, str access, bint inheritable):
    cdef _Wide wide = _Wide(path)
    cdef DWORD rights = _sync_rights(kind, access)
    cdef HANDLE handle
    if kind == "mutex":
        handle = OpenMutexW(rights, inheritable, wide.text)
    elif kind == "event":
        handle = OpenEventW(rights, inheritable, wide.text)
    else:
        handle = OpenSemaphoreW(rights, inheritable, wide.text)
    if handle == NULL:
        raise _failure(GetLastError(), f"Open{kind.capitalize()}W", text, "open {}", kind)
    return _sync_handle(cls, handle, text, kind, access, False)


def wait(handles, bint all, timeout):
    return wait_for(tuple(handles), all, _milliseconds(timeout, "wait", None))  # the caller's own list may change meanwhile


cdef tuple wait_for(tuple handles, bint all, long long patience):
    cdef HANDLE waited[MOST + 1]
    cdef Py_ssize_t count = len(handles), inside = 0, i, k
    cdef SyncHandle handle
    if not 1 <= count <= MOST:
        raise errors.InvalidArgument(f"Cannot wait for {count} objects: 1 to {MOST} are possible", call="WaitForMultipleObjects")
    try:
        for i in range(count):
            handle = <SyncHandle?>handles[i]
            handle._enter("wait for")
            inside += 1
            waited[i] = handle._handle
            if all:
                for k in range(i):
                    if waited[k] == waited[i]:  # Windows refuses it as well, Wine waits
                        raise errors.InvalidArgument(
                            "Cannot wait for all: one handle is there twice", call="WaitForMultipleObjects")
        return _sleep_on(waited, count, all, patience)
    finally:
        while inside:
            inside -= 1
            (<SyncHandle>handles[inside])._leave(True)


cdef tuple _sleep_on(HANDLE *waited, Py_ssize_t count, bint all, long long patience):
    cdef DWORD number = <DWORD>count, state, error, slice_ms
    cdef ULONG64 deadline = 0, now
    cdef bint for_ever = patience < 0, main = _PyOS_IsMainThread(), interruptible
    interruptible = main and not all and count < MOST
    if interruptible:
        waited[count] = _PyOS_SigintEvent()
        interruptible = waited[count] != NULL
        number += interruptible
    if not for_ever:
        deadline = GetTickCount64() + <ULONG64>patience
    while True:
        slice_ms = INFINITE
        if not for_ever:
            now = GetTickCount64()
            slice_ms = 0 if now >= deadline else <DWORD>min(deadline - now, <ULONG64>0xFFFFFFFE)
        if main and not interruptible:
            slice_ms = min(slice_ms, LOOK)
        if interruptible:
            ResetEvent(waited[count])
        PyErr_CheckSignals()  # after the reset: Python notes a signal before it sets the event, so none is lost between the two
        error = 0
        with nogil:
            state = WaitForMultipleObjects(number, waited, all, slice_ms)
            if state == WAIT_FAILED:
                error = GetLastError()
        if state < <DWORD>count:
            return (0 if all else <int>state), 0
        if WAIT_ABANDONED <= state < WAIT_ABANDONED + count:
            return <int>(state - WAIT_ABANDONED), 1 << <int>(state - WAIT_ABANDONED)
        if state == WAIT_FAILED:
            raise _failure(error, "WaitForMultipleObjects", None, f"wait for {count} objects")
        if state == WAIT_TIMEOUT and not for_ever and GetTickCount64() >= deadline:
            return -1, 0
