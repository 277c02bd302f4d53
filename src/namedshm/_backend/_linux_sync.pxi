# Synchronisation objects on Linux: include/namedshm_sync.h as Python objects.  Part of _linux.pyx, for the scopes are there.

cdef extern from "namedshm_sync.h" nogil:
    enum:
        NSHM_WAIT_MAX, NSHM_ABANDONED
    ctypedef struct nshm_words:
        uint32_t type, manual, maximum, state
    ctypedef struct nshm_waitee:
        nshm_words *words
        uint64_t identity
        uint32_t type
    ctypedef struct nshm_wait_context:
        nshm_waitee *object
        int count, all, begun
        int64_t deadline, spin
        uint64_t abandoned
    ctypedef struct nshm_sync_start:
        uint32_t type, manual, maximum, initial
    int64_t INT64_MAX
    int64_t nshm_now()
    int nshm_wait(nshm_wait_context *)
    int nshm_try(nshm_waitee *)
    int nshm_try_once(nshm_waitee *)
    int nshm_settle(nshm_waitee *, int64_t)
    int nshm_mutex_release(const nshm_waitee *)
    int nshm_event_set(nshm_waitee *)
    int nshm_event_reset(nshm_waitee *)
    int nshm_event_pulse(nshm_waitee *)
    int nshm_semaphore_release(nshm_waitee *, uint32_t, uint32_t *)
    int nshm_sync_fill(nshm_handle *, void *)
    int nshm_sync_waitee(const nshm_handle *, uint32_t, nshm_waitee *)
    int nshm_sync_keep(const nshm_waitee *)
    int NSHM_WATCH_MAX
    int nshm_watch(nshm_wait_context **, int, uint32_t *, uint32_t, unsigned char *)
    void nshm__wake(uint32_t *, int)
    void nshm__pause()
    int nshm__signaled(nshm_waitee *)

KINDS = {"mutex": NSHM_MUTEX, "event": NSHM_EVENT, "semaphore": NSHM_SEMAPHORE}
cdef size_t SYNC_SIZE = 4096


#: Set by sync.py: what acquiring a mutex returns, (acquired, abandoned, not acquired), and what makes AbandonedMutex.
cdef object acquired, abandoned_acquired, not_acquired, abandoned_error


def set_acquisitions(got, abandoned, not_got, error):
    global acquired, abandoned_acquired, not_acquired, abandoned_error
    acquired, abandoned_acquired, not_acquired, abandoned_error = got, abandoned, not_got, error


# A signal interrupts a sleep.  One that comes just before it, or that another thread gets, interrupts nothing: its handler runs
# when the waiting thread looks the next time, after so many nanoseconds.
cdef int64_t LOOK = 500_000_000
# So long somebody's wait-all may hold up a change, in nanoseconds, until we say that its process was stopped.
cdef int64_t SETTLE = 10_000_000_000

ctypedef int (*changer)(nshm_waitee *) noexcept nogil


cdef class SyncHandle:
    """contract.SyncHandle"""
    cdef nshm_handle h
    cdef nshm_waitee waitee
    cdef readonly object name
    cdef readonly str kind
    cdef readonly str access
    cdef readonly bint closed
    cdef bint may_wait, may_modify
    cdef int users
    cdef object __weakref__

    def __cinit__(self, *args, **kwargs):
        self.closed = True

    @property
    def created(self):
        return bool(self.h.created)

    @property
    def identity(self):
        return self.h.nonce

    @final
    cdef int own(self, object name, str kind, str access) except -1:
        self.closed = False
        self.name = name
        self.kind = kind
        self.access = access
        self.may_wait = access != "modify"
        self.may_modify = access != "wait"
        if nshm_sync_waitee(&self.h, KINDS[kind], &self.waitee):
            raise explain(-EUCLEAN, "open", name, 0)
        return 0

    @final
    cdef int waitable(self) except -1:
        if self.closed or not self.may_wait:
            raise explain(-EBADF if self.closed else -EACCES, "wait", self.name, 0)
        return 0

    @final
    cdef int modifiable(self) except -1:
        if self.closed or not self.may_modify:
            raise explain(-EBADF if self.closed else -EACCES, "modify", self.name, 0)
        return 0

    def duplicate_as(self, str access):
        cdef SyncHandle other = SyncHandle.__new__(type(self))
        cdef int r
        if self.closed:
            raise explain(-EBADF, "duplicate", self.name, 0)
        r = nshm_duplicate(&self.h, False, &other.h)
        if r < 0:
            raise explain(r, "duplicate", self.name, 0)
        other.own(self.name, self.kind, access)
        return other

    # Waits and changes run without the GIL on the object's page.  close() in another thread must not unmap it under them: the
    # name goes at once, the page with the last of them.
    @final
    cdef void enter(self):
        self.users += 1

    @final
    cdef void leave(self):
        self.users -= 1
        if self.closed and not self.users:
            self.drop()

    @final
    cdef void drop(self):
        nshm_close(&self.h, nshm_sync_keep(&self.waitee))

    def close(self):
        if self.closed:
            return
        self.closed = True
        if self.users:
            nshm_close_name(&self.h)
        else:
            self.drop()

    def __dealloc__(self):
        if not self.closed:
            self.closed = True
            self.drop()

    # ---- operations; rights as Windows has them: "wait" is SYNCHRONIZE, "modify" is MODIFY_STATE
    def acquire_mutex(self, timeout=None, *, on_abandoned="tell", double spin=SPIN):
        cdef int r
        # The quick way, with the GIL: nothing is copied, for trying a mutex leaves nothing in the waitee.
        if self.closed or not self.may_wait or self.waitee.type != NSHM_MUTEX:
            r = -EINVAL
        else:
            r = nshm_try_once(&self.waitee)
        if r < 0 and r != -EAGAIN:
            r = self.attempt()  # says what is wrong, or gives a wait-all a moment to decide
        if r == 0:
            return acquired
        if r == -EAGAIN:
            if timeout is not None and timeout <= 0:
                return not_acquired
            index, mask = wait((self,), False, timeout, spin)
            if index < 0:
                return not_acquired
            if not mask:
                return acquired
        if on_abandoned == "raise":
            raise abandoned_error(self.name)
        return abandoned_acquired

    def exit_mutex(self, kind, error, trace):
        self.release_mutex()

    def release_mutex(self):
        cdef int r
        if self.closed:
            raise explain(-EBADF, "release", self.name, 0)
        r = nshm_mutex_release(&self.waitee)
        if r < 0:
            raise explain_sync(r, "release", self.name)

    # Changes are quick, a store and at most a wake-up, and keep the GIL; only waits give it away.
    @final
    cdef int change(self, changer what, str call) except -1:
        cdef int64_t patience = 0
        cdef int r
        while True:
            self.modifiable()  # each time: whoever ran meanwhile may have closed it
            r = what(&self.waitee)
            if r != -EBUSY:
                break
            self.settle(&patience, call)
        if r < 0:
            raise explain_sync(r, call, self.name)
        return 0

    @final
    cdef int settle(self, int64_t *patience, str call) except -1:
        """Somebody's wait-all is deciding: wait for that, without the GIL.  `patience`: until when in all, 0 at first."""
        cdef nshm_waitee o
        cdef int r
        memcpy(&o, &self.waitee, sizeof(o))  # a copy: other threads use this handle, too
        if not patience[0]:
            patience[0] = nshm_now() + SETTLE
        self.enter()
        with nogil:
            r = nshm_settle(&o, min(patience[0], nshm_now() + LOOK))
        self.leave()
        PyErr_CheckSignals()
        if r == -ETIMEDOUT and nshm_now() >= patience[0]:
            raise explain_sync(-ETIME, call, self.name)
        if r and r != -ETIMEDOUT and r != -EINTR:
            raise explain_sync(r, call, self.name)
        return 0

    @final
    cdef int attempt(self) except? -1000:
        """Take it now: 0, NSHM_ABANDONED or -EAGAIN."""
        cdef nshm_waitee o
        cdef int r
        memcpy(&o, &self.waitee, sizeof(o))
        while True:
            self.waitable()  # each time: whoever ran meanwhile may have closed it
            r = nshm_try_once(&o)
            if r == -EBUSY:
                self.enter()
                with nogil:
                    r = nshm_try(&o)
                self.leave()
            if r != -EINTR:
                break
            PyErr_CheckSignals()
        if r < 0 and r != -EAGAIN:
            raise explain_sync(r, "wait", self.name)
        if r == -EAGAIN:
            self.waitable()
        return r

    def set_event(self):
        self.change(nshm_event_set, "set")

    def reset_event(self):
        self.change(nshm_event_reset, "reset")

    def pulse_event(self):
        self.change(nshm_event_pulse, "pulse")

    def wait_one(self, timeout=None, *, double spin=SPIN):
        cdef int r, k
        r = self.attempt()
        if r == -EAGAIN and timeout is not None and timeout <= 0:
            return False
        if r == -EAGAIN and spin > 0:
            for k in range(80):  # about half a microsecond: less than it takes to give the GIL away and get it back
                if k > 16:
                    nshm__pause()
                if nshm__signaled(&self.waitee):
                    r = self.attempt()
                    if r != -EAGAIN:
                        break
        if r != -EAGAIN:
            return True
        return wait((self,), False, timeout, spin)[0] >= 0

    def release_semaphore(self, uint32_t count):
        cdef uint32_t previous = 0
        cdef int64_t patience = 0
        cdef int r
        while True:
            self.modifiable()
            r = nshm_semaphore_release(&self.waitee, count, &previous)
            if r != -EBUSY:
                break
            self.settle(&patience, "release")
        if r < 0:
            raise explain_sync(r, "release", self.name)
        return previous


cdef object explain_sync(int code, str call, object name):
    return explain(code, call + "-sync" if code in (-EPERM, -EOVERFLOW, -ENOSYS) else call, name, 0)


def create_sync(cls, str kind, name, bint exist_ok, unsigned mode, int64_t group,
                uint32_t initial, uint32_t manual, uint32_t maximum):
    cdef SyncHandle handle = SyncHandle.__new__(cls)
    cdef uint16_t type = KINDS[kind]
    cdef nshm_sync_start start
    cdef int flags = 0 if exist_ok else NSHM_EXCLUSIVE, r
    start.type, start.manual, start.maximum, start.initial = type, manual, maximum, initial
    r = make_object(scope_of(name.is_global), type, encode(name.bare), SYNC_SIZE, mode, group, 0, flags, 0,
                    nshm_sync_fill, &start, &handle.h)
    if r < 0:
        raise explain(r, "create", name, 0)
    handle.own(name.text, kind, "full")
    return handle


def open_sync(cls, str kind, name, str access):
    cdef SyncHandle handle = SyncHandle.__new__(cls)
    cdef int r = find_object(scope_of(name.is_global), KINDS[kind], encode(name.bare), 0, &handle.h)
    if r < 0:
        raise explain(r, "open", name, 0)
    handle.own(name.text, kind, access)
    return handle


cdef tuple several(handles):
    cdef tuple waited = tuple(handles)
    if not 1 <= len(waited) <= NSHM_WAIT_MAX:
        raise explain(-EINVAL, "wait", None, len(waited))
    for item in waited:
        if not isinstance(item, SyncHandle):
            raise TypeError(f"only mutexes, events and semaphores can be waited for, not {type(item).__name__}")
    return waited


def wait(handles, bint all, timeout, double spin):
    """Wait for SyncHandles: (index or -1 when the time is up, bit mask of abandoned mutexes).

    `timeout` in seconds, None for ever.  Ctrl-C and other signals are handled while it lasts.
    """
    cdef nshm_wait_context c
    cdef SyncHandle handle
    cdef double seconds
    cdef int64_t end, spin_end
    cdef int r, k = 0
    waited = several(handles)  # the caller's own list may change meanwhile
    c.count = len(waited)
    c.all = all
    c.begun = 0
    c.abandoned = 0
    for handle in waited:
        handle.waitable()
        memcpy(&c.object[k], &handle.waitee, sizeof(nshm_waitee))
        k += 1
    if timeout is None:
        c.deadline = INT64_MAX
    else:
        seconds = timeout
        if seconds != seconds:
            raise explain(-EINVAL, "wait", None, 0)
        if seconds <= 0:
            c.deadline = 0
        else:
            c.deadline = INT64_MAX if seconds > 9e9 else nshm_now() + <int64_t>(seconds * 1e9)
    spin_end = nshm_now() + <int64_t>(min(spin, 9e9) * 1e9) if spin > 0 else 0
    end = c.deadline
    for handle in waited:
        handle.enter()
    try:
        while True:
            if end:
                c.deadline = min(end, nshm_now() + LOOK)
            c.spin = spin_end - nshm_now() if spin_end else 0
            with nogil:
                r = nshm_wait(&c)
            if r != -EINTR and (r != -ETIMEDOUT or c.deadline == end):
                break
            PyErr_CheckSignals()
    finally:
        for handle in waited:
            handle.leave()
    if r >= 0:
        return r & ~NSHM_ABANDONED, c.abandoned
    if r == -ETIMEDOUT:
        return -1, 0
    raise explain_sync(r, "wait", None)


# ------------------------------------------------------------------------------------------------------------ for event loops
WATCH_MAX = NSHM_WATCH_MAX


cdef class Wait:
    """A wait that is polled instead of slept in; what happened between two polls (a pulse) is not lost."""
    cdef nshm_wait_context c
    cdef tuple handles   # keeps the pages mapped

    def __init__(self, handles, bint all):
        cdef SyncHandle handle
        cdef int k = 0
        waited = several(handles)
        self.c.count = len(waited)
        self.c.all = all
        for handle in waited:
            handle.waitable()
        self.handles = waited
        for handle in self.handles:
            memcpy(&self.c.object[k], &handle.waitee, sizeof(nshm_waitee))
            handle.enter()  # until this wait is gone: a watching thread may be at the page
            k += 1

    def __dealloc__(self):
        cdef SyncHandle handle
        if self.handles is not None:
            for handle in self.handles:
                handle.leave()

    def __len__(self):
        return self.c.count

    def poll(self):
        """(index, abandoned mask) if it succeeds now, else None.  What is acquired is this thread's."""
        cdef SyncHandle handle
        cdef int r
        for handle in self.handles:
            handle.waitable()
        self.c.deadline = 0
        self.c.abandoned = 0
        r = nshm_wait(&self.c)
        if r == -ETIMEDOUT or r == -EINTR:  # the loop runs signal handlers
            return None
        if r < 0:
            raise explain_sync(r, "wait", None)
        return r & ~NSHM_ABANDONED, self.c.abandoned


cdef class Control:
    """A word that wakes a watching thread."""
    cdef uint32_t word

    @property
    def value(self):
        return nshm__load32(&self.word)

    def change(self):
        nshm__add32(&self.word, 1)
        nshm__wake(&self.word, 1)


def watch(list waits, Control control, uint32_t seen):
    """Sleep until one of the Waits (WATCH_MAX objects at most) deserves a poll or `control` is no longer `seen`; those Waits."""
    cdef nshm_wait_context *contexts[128]
    cdef unsigned char ready[128]
    cdef int count = len(waits), i
    cdef Wait wait
    if count > 127:
        raise ValueError("too many waits for one thread")
    for i in range(count):
        wait = waits[i]
        contexts[i] = &wait.c
    with nogil:
        nshm_watch(contexts, count, &control.word, seen, ready)
    return [waits[i] for i in range(count) if ready[i]]
