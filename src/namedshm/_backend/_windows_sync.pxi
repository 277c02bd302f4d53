# Synchronisation objects on Windows: each call is one of kernel32's.  Part of _windows.pyx, for strings and errors are there.

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


cdef class SyncHandle:
    """contract.SyncHandle; the classes of sync.py inherit from it, so that their quick paths are C."""
    cdef HANDLE _handle
    cdef readonly object name
    cdef readonly str kind
    cdef readonly str access
    cdef readonly bint created
    cdef set _waits  # of event loops, watched now (_windows_watch.pxi)
    cdef object __weakref__

    def __cinit__(self, *args, **kwargs):
        self._handle = NULL

    def __dealloc__(self):
        if self._handle != NULL:
            CloseHandle(self._handle)

    @property
    def identity(self):
        return 0  # Windows does not tell, and there is no place to keep one

    @property
    def closed(self):
        return self._handle == NULL

    @property
    def os_handle(self):
        return <uintptr_t>self._valid("use")

    cdef HANDLE _valid(self, str doing) except NULL:
        if self._handle == NULL:
            raise errors.ClosedHandle(
                f"Cannot {doing} {self._label()}: this handle is closed, open it again", name=self.name, call=doing)
        return self._handle

    cdef object _label(self):
        return f"an unnamed {self.kind}" if self.name is None else f"{self.kind} {self.name!r}"

    cdef object _failed(self, DWORD code, str call, str doing):
        return _failure(code, call, self.name, doing, self.kind)

    def try_acquire(self):
        cdef DWORD state = WaitForSingleObject(self._valid("wait for"), 0)
        if state == WAIT_OBJECT_0:
            return 0
        if state == WAIT_TIMEOUT:
            return -1
        if state == WAIT_ABANDONED:
            return 0x80
        raise self._failed(GetLastError(), "WaitForSingleObject", "wait for {}")

    def acquire_mutex(self, timeout=None, *, on_abandoned="tell", double spin=SPIN):
        timeout = seconds(timeout, "acquire", self.name) if timeout is not None else None
        if on_abandoned != "tell":
            check_on_abandoned(on_abandoned)
        got = self.try_acquire()
        if got < 0:
            if timeout is not None and timeout <= 0:
                return not_acquired
            index, got = wait((self,), False, timeout)
            if index < 0:
                return not_acquired
        if not got:
            return acquired
        if on_abandoned == "raise":
            raise abandoned_error(self.name)
        return abandoned_acquired

    def wait_one(self, timeout=None, *, double spin=SPIN):
        timeout = seconds(timeout, "wait", self.name) if timeout is not None else None
        if self.try_acquire() >= 0:
            return True
        if timeout is not None and timeout <= 0:
            return False
        return wait((self,), False, timeout)[0] >= 0

    def exit_mutex(self, kind, error, trace):
        self.release_mutex()

    def release_mutex(self):
        if not ReleaseMutex(self._valid("release")):
            raise self._failed(GetLastError(), "ReleaseMutex", "release {}")

    def set_event(self):
        if not SetEvent(self._valid("set")):
            raise self._failed(GetLastError(), "SetEvent", "set {}")

    def reset_event(self):
        if not ResetEvent(self._valid("reset")):
            raise self._failed(GetLastError(), "ResetEvent", "reset {}")

    def pulse_event(self):
        if not PulseEvent(self._valid("pulse")):
            raise self._failed(GetLastError(), "PulseEvent", "pulse {}")

    def release_semaphore(self, long count):
        cdef long before = 0
        if not ReleaseSemaphore(self._valid("release"), count, &before):
            raise self._failed(GetLastError(), "ReleaseSemaphore", f"release {{}} by {count}")
        return before

    cdef HANDLE _copy(self, HANDLE process, str access) except NULL:
        cdef HANDLE copy = NULL
        cdef DWORD options = DUPLICATE_SAME_ACCESS if access == self.access else 0
        if not DuplicateHandle(GetCurrentProcess(), self._valid("duplicate"), process, &copy,
                               _sync_rights(self.kind, access), False, options):
            raise self._failed(GetLastError(), "DuplicateHandle", "duplicate the handle of {}")
        return copy

    def duplicate_as(self, str access):
        return _sync_handle(type(self), self._copy(GetCurrentProcess(), access), self.name, self.kind, access, False)

    cdef int watch(self, Wait wait) except -1:
        if self._waits is None:
            self._waits = set()
        self._waits.add(wait)
        return 0

    cdef int unwatch(self, Wait wait) except -1:
        if self._waits is not None:
            self._waits.discard(wait)
        return 0

    def close(self):
        cdef HANDLE handle = self._handle
        self._handle = NULL
        if handle != NULL:
            CloseHandle(handle)
            for wait in list(self._waits or ()):
                (<Wait>wait).handle_closed()


cdef SyncHandle _sync_handle(object cls, HANDLE handle, object name, str kind, str access, bint created):
    cdef SyncHandle made = SyncHandle.__new__(cls)
    made._handle = handle
    made.name = name
    made.kind = kind
    made.access = access
    made.created = created
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
    cdef HANDLE waited[MOST + 1]
    cdef Py_ssize_t count = len(handles)
    cdef DWORD number = <DWORD>count, state, error, slice_ms
    cdef ULONG64 deadline = 0, now
    cdef bint for_ever = timeout is None, main = _PyOS_IsMainThread(), interruptible
    cdef Py_ssize_t i, k
    if not 1 <= count <= MOST:
        raise errors.InvalidArgument(f"Cannot wait for {count} objects: 1 to {MOST} are possible", call="WaitForMultipleObjects")
    if timeout is not None and timeout != timeout:
        raise errors.InvalidArgument("Cannot wait: the timeout is no number of seconds", call="WaitForMultipleObjects")
    for i in range(count):
        waited[i] = (<SyncHandle?>handles[i])._valid("wait for")
        if all:
            for k in range(i):
                if waited[k] == waited[i]:  # Windows refuses it as well, Wine waits
                    raise errors.InvalidArgument("Cannot wait for all: one handle is there twice", call="WaitForMultipleObjects")
    interruptible = main and not all and count < MOST
    if interruptible:
        waited[count] = _PyOS_SigintEvent()
        interruptible = waited[count] != NULL
        number += interruptible
    if not for_ever:
        deadline = GetTickCount64() + <ULONG64>min(max(0.0, timeout) * 1000 + 0.999, 1e15)
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
