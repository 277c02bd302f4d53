# Synchronisation objects on Linux: include/namedshm_sync.h as Python objects.  Part of native.pyx, for the scopes are there.

cdef extern from "namedshm_sync.h" nogil:
    enum:
        NSHM_WAIT_MAX, NSHM_ABANDONED
        NSHM_SET, NSHM_RESERVED_MUTEX
    int FUTEX_TID_MASK, FUTEX_OWNER_DIED
    ctypedef struct nshm_words:
        uint32_t type, manual, maximum, state
        uint64_t counter
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
    int nshm_try_once(nshm_waitee *)
    int nshm_settle(nshm_waitee *, int64_t)
    int nshm_mutex_release(const nshm_waitee *)
    uint32_t nshm_mutex_depth(const nshm_waitee *)
    int nshm_event_set(nshm_waitee *)
    int nshm_event_reset(nshm_waitee *)
    int nshm_event_pulse(nshm_waitee *)
    int nshm_semaphore_release(nshm_waitee *, uint32_t, uint32_t *)
    int nshm_sync_fill(nshm_handle *, void *)
    int nshm_sync_waitee(const nshm_handle *, uint32_t, nshm_waitee *)
    int nshm_sync_keep(const nshm_waitee *)
    int NSHM_WATCH_MAX
    ctypedef struct nshm_watched:
        int ready
    int nshm_watch_with(nshm_wait_context **, int, uint32_t *, uint32_t, unsigned char *, nshm_watched *, int)
    void nshm__wake(uint32_t *, int)
    void nshm__pause()
    int nshm__signaled(nshm_waitee *)

from namedshm._arguments import check_on_abandoned

KINDS = {"mutex": NSHM_MUTEX, "event": NSHM_EVENT, "semaphore": NSHM_SEMAPHORE}
cdef size_t SYNC_SIZE = 4096


#: Set by sync.py: what acquiring a mutex returns, (acquired, abandoned, not acquired), and what makes AbandonedMutex.
cdef object acquired, abandoned_acquired, not_acquired, abandoned_error
cdef str TELL = "tell"


def set_acquisitions(got, abandoned, not_got, error):
    global acquired, abandoned_acquired, not_acquired, abandoned_error
    acquired, abandoned_acquired, not_acquired, abandoned_error = got, abandoned, not_got, error


# A signal interrupts a sleep.  One that comes just before it, or that another thread gets, interrupts nothing: its handler runs
# when the waiting thread looks the next time, after so many nanoseconds.
cdef int64_t LOOK = 500_000_000
# So long somebody's wait-all may hold up a change, in nanoseconds, until we say that its process was stopped.
cdef int64_t SETTLE = 10_000_000_000

ctypedef int (*changer)(nshm_waitee *) noexcept nogil


@no_gc_clear
cdef class SyncHandle:
    """contract.SyncHandle"""
    cdef nshm_gate gate
    cdef nshm_handle h       # not changed from own() on, also by closing: whoever is in may read it
    cdef nshm_waitee waitee  # the same
    cdef bint nameless       # closed while somebody was in: the name is gone, the page goes with the last one
    cdef readonly object name
    cdef readonly str kind
    cdef readonly str access
    cdef bint may_wait, may_modify
    cdef object __weakref__

    def __cinit__(self, *args, **kwargs):
        nshm_gate_shut(&self.gate)

    @property
    def closed(self):
        """Whether this handle was closed."""
        return bool(nshm_gate_closed(&self.gate))

    @property
    def created(self):
        """Whether this call made the object (False: it was there, its settings stayed as they were)."""
        return bool(self.h.created)

    @property
    def identity(self):
        """A 64-bit number no other object ever has (0: unknown, as on Windows)."""
        return self.h.nonce

    # Takes what a C call left in flight; nothing in here gives the GIL away before it is owned.
    @final
    cdef int own(self, object name, str kind, str access) except -1:
        self.name = name
        self.kind = kind
        self.access = access
        self.may_wait = access != "modify"
        self.may_modify = access != "wait"
        nshm_gate_open(&self.gate)
        nshm_flight_end(&self.h)
        if nshm_sync_waitee(&self.h, KINDS[kind], &self.waitee):
            self.close()
            raise explain(-EUCLEAN, "open", name, 0)
        return 0

    def look(self):
        """What it is at this moment: (would a wait succeed, a semaphore's count, the thread that owns a mutex)."""
        cdef uint32_t state, owner
        cdef uint64_t counter
        self.enter(True, "look")
        counter = nshm__load64(&self.waitee.words.counter)
        state = nshm__load32(&self.waitee.words.state)
        self.leave()
        if self.kind == "mutex":
            owner = state & <uint32_t>FUTEX_TID_MASK & ~<uint32_t>NSHM_RESERVED_MUTEX
            return owner == 0, owner == 0 and state & <uint32_t>FUTEX_OWNER_DIED != 0, owner or None
        return state & <uint32_t>NSHM_SET != 0, counter >> 32 if self.kind == "semaphore" else 0, None

    # Waits and changes are on the object's page, some without the GIL.  Whoever closes leaves it to them: the name goes at once,
    # the page with the last of them.  That is also what keeps the kernel from writing into what is mapped there next: a mutex's
    # word is in the robust list of a thread that is in, and only of such a one.
    @final
    cdef int enter(self, bint may, str call) except -1:
        if not nshm_gate_enter(&self.gate):
            raise explain(-EBADF, call, self.name, 0)
        if not may:
            self.leave()
            raise explain(-EACCES, call, self.name, 0)
        return 0

    @final
    cdef void leave(self) noexcept:
        if nshm_gate_leave(&self.gate):
            self.drop()

    @final
    cdef void drop(self) noexcept:
        cdef nshm_handle gone = self.h
        if self.nameless:
            gone.token = NULL
        drop_handle(gone, nshm_sync_keep(&self.waitee))

    def close(self):
        cdef Py_ssize_t others = nshm_gate_close(&self.gate)
        if others < 0:
            return
        if others:
            self.nameless = True
            drop_name(self.h)
        self.leave()

    def __del__(self):
        cdef uint32_t state
        if not nshm_gate_closed(&self.gate) and self.kind == "mutex" and self.name is not None:
            state = nshm__load32(&self.waitee.words.state)
            if state & <uint32_t>FUTEX_TID_MASK == <uint32_t>gettid():
                lost(self, f"mutex {self.name!r} is collected while this thread owns it, and guards nothing any more: keep it")

    def __dealloc__(self):
        if not nshm_gate_closed(&self.gate):
            nshm_gate_shut(&self.gate)
            self.drop()

    def duplicate_as(self, str access):
        """Another handle of the same class to the same object, with this access."""
        cdef SyncHandle other = SyncHandle.__new__(type(self))
        cdef int r
        self.enter(True, "duplicate")
        try:
            nshm_flight_begin(&other.h)
            r = nshm_duplicate(&self.h, False, &other.h)
            if r < 0:
                nshm_flight_end(&other.h)
                # closed meanwhile: then its name may be gone, and there is nothing to duplicate
                raise explain(-EBADF if self.closed else r, "duplicate", self.name, 0)
            other.own(self.name, self.kind, access)
        finally:
            self.leave()
        return other

    # ---- operations; rights as Windows has them: "wait" is SYNCHRONIZE, "modify" is MODIFY_STATE
    def acquire_mutex(self, timeout=None, *, on_abandoned=TELL, double spin=SPIN):
        cdef bint tell = on_abandoned is TELL
        cdef int64_t patience = nanoseconds(timeout, "acquire", self.name)
        cdef int r
        if not tell:
            check_on_abandoned(on_abandoned)
            tell = on_abandoned == "tell"
        self.enter(self.may_wait, "wait")
        r = nshm_try_once(&self.waitee) if self.waitee.type == NSHM_MUTEX else -EBUSY  # leaves nothing in the waitee of a mutex
        if r < 0:
            try:
                r = self.sleep(patience, spin) if patience or r != -EAGAIN else -ETIMEDOUT
            finally:
                self.leave()
        else:
            self.leave()
        if r == 0:
            return acquired
        if r == -ETIMEDOUT:
            return not_acquired
        if tell:
            return abandoned_acquired
        raise abandoned_error(self.name)

    def exit_mutex(self, kind, error, trace):
        self.release_mutex()

    def release_mutex(self):
        cdef int r
        self.enter(True, "release")
        r = nshm_mutex_release(&self.waitee) if self.waitee.type == NSHM_MUTEX else -EPERM
        self.leave()
        if r < 0:
            raise explain_sync(r, "release", self.name)

    # Called by who is in: 0, NSHM_ABANDONED, or -ETIMEDOUT.
    @final
    cdef int sleep(self, int64_t patience, double spin) except -1000:
        cdef nshm_wait_context c
        c.count = 1
        c.all = False
        memcpy(&c.object[0], &self.waitee, sizeof(nshm_waitee))
        return sleep_on(&c, patience, spin, self.name)

    def mutex_depth(self):
        cdef uint32_t times
        self.enter(True, "look")
        times = nshm_mutex_depth(&self.waitee) if self.waitee.type == NSHM_MUTEX else 0
        self.leave()
        return times

    # Changes are quick, a store and at most a wake-up, and keep the GIL, unless somebody's wait-all is deciding.
    @final
    cdef int change(self, changer what, str call) except -1:
        cdef nshm_waitee o
        cdef int64_t until = 0
        cdef int r
        self.enter(self.may_modify, "modify")
        try:
            if self.waitee.type != NSHM_EVENT:
                raise TypeError(f"a {self.kind} is no event")
            memcpy(&o, &self.waitee, sizeof(o))  # a copy: other threads use this handle, too
            r = what(&o)
            while r == -EBUSY:
                settle(&o, &until, call, self.name)
                r = what(&o)
        finally:
            self.leave()
        if r < 0:
            raise explain_sync(r, call, self.name)
        return 0

    def set_event(self):
        self.change(nshm_event_set, "set")

    def reset_event(self):
        self.change(nshm_event_reset, "reset")

    def pulse_event(self):
        self.change(nshm_event_pulse, "pulse")

    def wait_event(self, timeout=None, *, double spin=SPIN):
        cdef nshm_waitee o
        cdef int64_t patience = nanoseconds(timeout, "wait", self.name)
        cdef int r = self.first_try(&o)
        return r == 0 or self.further_tries(&o, r, patience, spin)

    def acquire_semaphore(self, timeout=None, *, double spin=SPIN):
        cdef nshm_waitee o
        cdef int64_t patience = nanoseconds(timeout, "acquire", self.name)
        cdef int r = self.first_try(&o)
        return r == 0 or self.further_tries(&o, r, patience, spin)

    # 0; or what came instead, and then this thread is still in.
    @final
    cdef inline int first_try(self, nshm_waitee *o) except -1000:
        cdef int r
        self.enter(self.may_wait, "wait")
        memcpy(o, &self.waitee, sizeof(o[0]))  # a copy: other threads use this handle, too
        r = nshm_try_once(o)
        if r == 0:
            self.leave()
        return r

    @final
    cdef bint further_tries(self, nshm_waitee *o, int r, int64_t patience, double spin) except -1:
        cdef int k
        try:
            if r == -EAGAIN and patience and spin > 0:
                for k in range(80):  # about half a microsecond: less than it takes to give the GIL away and get it back
                    if k > 16:
                        nshm__pause()
                    if nshm__signaled(o):
                        r = nshm_try_once(o)
                        if r != -EAGAIN:
                            break
            if r == -EAGAIN and not patience:
                return False
            if r < 0:
                r = self.sleep(patience, spin)  # also says what is wrong
        finally:
            self.leave()
        return r != -ETIMEDOUT

    def release_semaphore(self, uint32_t count):
        """Give so many back to a semaphore; the count before."""
        cdef nshm_waitee o
        cdef uint32_t previous = 0
        cdef int64_t until = 0
        cdef int r
        self.enter(self.may_modify, "modify")
        try:
            if self.waitee.type != NSHM_SEMAPHORE:
                raise TypeError(f"a {self.kind} is no semaphore")
            memcpy(&o, &self.waitee, sizeof(o))
            r = nshm_semaphore_release(&o, count, &previous)
            while r == -EBUSY:
                settle(&o, &until, "release", self.name)
                r = nshm_semaphore_release(&o, count, &previous)
        finally:
            self.leave()
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
    cdef object label = name.text
    cdef int flags = 0 if exist_ok else NSHM_EXCLUSIVE, r
    start.type, start.manual, start.maximum, start.initial = type, manual, maximum, initial
    r = make_object(scope_of(name.is_global), type, encode(name.bare), SYNC_SIZE, mode, group, 0, flags, 0,
                    nshm_sync_fill, &start, &handle.h)
    if r < 0:
        raise explain(r, "create", name, 0)
    handle.own(label, kind, "full")
    return handle


def open_sync(cls, str kind, name, str access):
    cdef SyncHandle handle = SyncHandle.__new__(cls)
    cdef object label = name.text
    cdef int r = find_object(scope_of(name.is_global), KINDS[kind], encode(name.bare), 0, &handle.h)
    if r < 0:
        raise explain(r, "open", name, 0)
    handle.own(label, kind, access)
    return handle


cdef tuple several(handles):
    cdef tuple waited = tuple(handles)
    if not 1 <= len(waited) <= NSHM_WAIT_MAX:
        raise explain(-EINVAL, "wait", None, len(waited))
    for item in waited:
        if not isinstance(item, SyncHandle):
            raise TypeError(f"only mutexes, events and semaphores can be waited for, not {type(item).__name__}")
    return waited


# Somebody's wait-all is deciding, on a page that the caller keeps: wait for that, without the GIL.  *until: when to give up, 0
# at first.
cdef int settle(nshm_waitee *o, int64_t *until, str call, object name) except -1:
    cdef int r
    if not until[0]:
        until[0] = nshm_now() + SETTLE
    with nogil:
        r = nshm_settle(o, min(until[0], nshm_now() + LOOK))
    PyErr_CheckSignals()
    if r == -ETIMEDOUT and nshm_now() >= until[0]:
        raise explain_sync(-ETIME, call, name)
    if r and r != -ETIMEDOUT and r != -EINTR:
        raise explain_sync(r, call, name)
    return 0


# Wait for what c.count, c.all and c.object say, whose pages the caller keeps: an index (plus NSHM_ABANDONED), or -ETIMEDOUT.
cdef int sleep_on(nshm_wait_context *c, int64_t patience, double spin, object name) except -1000:
    cdef int64_t end = 0, spin_end = 0
    cdef int r
    c.begun = 0
    c.abandoned = 0
    c.deadline = 0
    c.spin = 0
    if patience:
        end = INT64_MAX if patience == INT64_MAX else nshm_now() + patience
        if spin > 0:
            spin_end = nshm_now() + <int64_t>(min(spin, 9e9) * 1e9)
    while True:
        if end:
            c.deadline = min(end, nshm_now() + LOOK)
            if spin_end:
                c.spin = spin_end - nshm_now()
        with nogil:
            r = nshm_wait(c)
        if r != -EINTR and (r != -ETIMEDOUT or c.deadline == end):
            break
        PyErr_CheckSignals()
    if r < 0 and r != -ETIMEDOUT:
        raise explain_sync(r, "wait", name)
    return r


# Go in at all of them, or at none; what is waited for is copied into c.
cdef int enter_all(tuple waited, nshm_wait_context *c, bint all) except -1:
    cdef SyncHandle handle
    cdef int k = 0
    c.count = len(waited)
    c.all = all
    try:
        for handle in waited:
            handle.enter(handle.may_wait, "wait")
            memcpy(&c.object[k], &handle.waitee, sizeof(nshm_waitee))
            k += 1
    except BaseException:
        leave_first(waited, k)
        raise
    return 0


cdef void leave_first(tuple waited, int count) noexcept:
    cdef int k
    for k in range(count):
        (<SyncHandle>waited[k]).leave()


def wait(handles, bint all, timeout, double spin):
    """Wait for SyncHandles: (index or -1 when the time is up, bit mask of abandoned mutexes).

    `timeout` in seconds, None for ever.  Ctrl-C and other signals are handled while it lasts.
    """
    cdef nshm_wait_context c
    cdef tuple waited = several(handles)  # the caller's own list may change meanwhile
    cdef int64_t patience = nanoseconds(timeout, "wait", None)
    cdef int r
    enter_all(waited, &c, all)
    try:
        r = sleep_on(&c, patience, spin, None)
    finally:
        leave_first(waited, len(waited))
    if r == -ETIMEDOUT:
        return -1, 0
    return r & ~NSHM_ABANDONED, c.abandoned
