# Waits of event loops on Windows.  Part of native.pyx.
#
# Windows lets nobody watch an object without taking it, so what an event loop waits for is really waited for, by *takers*:
# threads of the system that never enter Python, each asleep for up to 64 objects.  What a taker takes is kept in the wait until
# the loop's thread fetches it with poll(), and given back if nobody will (the wait was cancelled, its loop or handle closed).
#
# Two things a taker cannot keep, and gives back at once; the loop's thread is told and tries for itself:
#
#   a mutex         it belongs to the thread that took it.  An abandoned one must stay so for whoever really gets it: the taker ends
#                   while it owns it, so the system abandons it again; its successor tells the loop when it is gone.
#   wait for all    takes nothing until everything is there.  It sleeps on one object that is missing, then on the next.
#
# A wait for a queue sleeps on one of its bells (include/namedshm/queue_lock_windows.h), until its next look at the latest.  The
# taker that took the bell says so to the others; the message is the loop's thread's to try for.
#
# Who touches what.  Everything in the structs below changes under desk.lock only, except that a wait which is neither watched
# nor ready belongs to the thread that has it.  Takers hold the lock for microseconds and need nothing else, so waiting for one,
# also with the GIL, cannot deadlock.  No Python object is made under the lock: that could collect garbage, which may be a wait.

cdef extern from *:
    """
    typedef struct { LONG automatic, state; } namedshm_event_information;  /* EVENT_BASIC_INFORMATION */
    typedef struct { LONG count, maximum; } namedshm_semaphore_information;
    typedef struct { LONG count; BOOLEAN mine, abandoned; } namedshm_mutex_information;  /* MUTANT_BASIC_INFORMATION */
    typedef struct { HANDLE process, thread; } namedshm_owner_information;  /* MUTANT_OWNER_INFORMATION: numbers */

    NTSYSAPI NTSTATUS NTAPI NtQueryEvent(HANDLE, ULONG, PVOID, ULONG, PULONG);
    NTSYSAPI NTSTATUS NTAPI NtQuerySemaphore(HANDLE, ULONG, PVOID, ULONG, PULONG);
    NTSYSAPI NTSTATUS NTAPI NtQueryMutant(HANDLE, ULONG, PVOID, ULONG, PULONG);
    NTSYSAPI NTSTATUS NTAPI NtCompareObjects(HANDLE, HANDLE);

    static void NTAPI namedshm_nothing(ULONG_PTR unused) { (void)unused; }
    """
    ctypedef struct EventInformation "namedshm_event_information":
        long automatic
        long state

    ctypedef struct SemaphoreInformation "namedshm_semaphore_information":
        long count

    ctypedef struct MutexInformation "namedshm_mutex_information":
        long count
        unsigned char mine, abandoned

    ctypedef struct OwnerInformation "namedshm_owner_information":
        HANDLE process
        HANDLE thread

    ctypedef struct SRWLOCK:
        pass

    ctypedef struct CONDITION_VARIABLE:
        pass

    ctypedef DWORD (*THREAD_START "LPTHREAD_START_ROUTINE")(void *) noexcept nogil
    ctypedef void (*APC "PAPCFUNC")(uintptr_t) noexcept nogil

    NTSTATUS NtQueryEvent(HANDLE, int, void *, ULONG, ULONG *) nogil
    NTSTATUS NtQuerySemaphore(HANDLE, int, void *, ULONG, ULONG *) nogil
    NTSTATUS NtQueryMutant(HANDLE, int, void *, ULONG, ULONG *) nogil
    NTSTATUS NtCompareObjects(HANDLE, HANDLE) nogil
    void nothing "namedshm_nothing"(uintptr_t) noexcept nogil
    void InitializeSRWLock(SRWLOCK *) nogil
    void AcquireSRWLockExclusive(SRWLOCK *) nogil
    void ReleaseSRWLockExclusive(SRWLOCK *) nogil
    void InitializeConditionVariable(CONDITION_VARIABLE *) nogil
    void WakeAllConditionVariable(CONDITION_VARIABLE *) nogil
    BOOL SleepConditionVariableSRW(CONDITION_VARIABLE *, SRWLOCK *, DWORD, ULONG) nogil
    HANDLE CreateThread(SECURITY_ATTRIBUTES *, SIZE_T, THREAD_START, void *, DWORD, DWORD *) nogil
    DWORD QueueUserAPC(APC, HANDLE, uintptr_t) nogil
    DWORD SleepEx(DWORD, BOOL) nogil
    DWORD WaitForMultipleObjectsEx(DWORD, const HANDLE *, BOOL, DWORD, BOOL) nogil

cdef DWORD STACK_SIZE_PARAM_IS_A_RESERVATION = 0x10000, TAKER_STACK = 0x20000
# Windows hands a mutex to whoever has queued longest, so a thread that only tries never gets one for which others always queue.
# After so many turns that others were faster, poll() queues for it, though the loop stands still meanwhile.
cdef int PATIENT = 3
cdef long long QUEUE = 2  # milliseconds; some turns of short critical sections.  Windows' clock may make 16 ms of it

cdef DWORD QUERY_STATE = 1  # of events and semaphores; a mutex's is its right to modify

# What gives back what a wait took of an object.
cdef enum:
    NOTHING  # a manual event: it is as it was
    SET      # an auto-reset event
    COUNT    # a semaphore
    LET_GO   # a mutex


cdef struct Group
cdef struct Desk


cdef struct Watched:  # a wait
    HANDLE handle[MOST]        # of its own: one that the user closes must not be pulled from under a taker
    unsigned char back[MOST]
    int count
    int start, stop            # the objects slept on; for all, the one that is missing
    bint all
    nshm_queue *queue          # of a wait for a queue: that, its bell, and nanoseconds until it is to be tried anyway; or NULL
    HANDLE bell
    int64_t until
    int taken                  # index of what a taker took for it and poll() has not fetched, or -1
    int turns                  # how often a taker had a mutex for it, before the thread that tries for itself
    Desk *desk
    Group *group               # whose taker sleeps for it, or NULL
    bint leaving               # somebody waits for the taker to drop it
    bint orphaned              # its mutex is abandoned: to be told when the taker that owns it is gone
    bint ready                 # it is in the list that begins at desk.ready
    Watched *next
    PyObject *owner            # the Wait it is in

cdef struct Group:  # one taker's
    Desk *desk
    HANDLE thread              # the taker, or NULL when there could be none
    HANDLE before              # the taker that ends with an abandoned mutex; this one begins when it is gone
    Watched *wait[MOST]        # in the order in which they came
    int waits, objects
    Group *next

cdef struct Desk:  # a Watcher's; never freed, takers live as long as the process
    SRWLOCK lock
    CONDITION_VARIABLE dropped
    HANDLE told                # an auto-reset event: something became ready
    Watched *ready
    Watched *last
    Group *groups
    long long wakes            # how often takers woke
    int asleep                 # waits that takers sleep for


# -------------------------------------------------------------------------------------------------------- with desk.lock held
cdef void _give_back(Watched *w, int k) noexcept nogil:
    # A failure has no consequence: a semaphore that others filled up meanwhile (298) is as full as if nothing had been taken.
    if w.back[k] == SET:
        SetEvent(w.handle[k])
    elif w.back[k] == COUNT:
        ReleaseSemaphore(w.handle[k], 1, NULL)
    elif w.back[k] == LET_GO:
        ReleaseMutex(w.handle[k])


cdef void _drop_from_group(Watched *w) noexcept nogil:
    cdef Group *g = w.group
    cdef int i, kept = 0
    for i in range(g.waits):
        if g.wait[i] != w:
            g.wait[kept] = g.wait[i]
            kept += 1
    g.waits = kept
    g.objects -= w.stop - w.start
    w.group = NULL
    w.orphaned = False


cdef void _tell(Watched *w) noexcept nogil:
    if w.ready:
        return
    w.ready = True
    w.next = NULL
    if w.desk.ready == NULL:
        w.desk.ready = w
    else:
        w.desk.last.next = w
    w.desk.last = w
    SetEvent(w.desk.told)


cdef void _untell(Watched *w) noexcept nogil:
    cdef Watched *before = NULL
    cdef Watched *at = w.desk.ready
    if not w.ready:
        return
    while at != w:
        before = at
        at = at.next
    if before == NULL:
        w.desk.ready = w.next
    else:
        before.next = w.next
    if w.desk.last == w:
        w.desk.last = before
    w.ready = False


cdef void _finish(Watched *w) noexcept nogil:
    """No taker sleeps for it any more: it deserves a poll, or somebody waits for just that."""
    _drop_from_group(w)
    if w.leaving:
        WakeAllConditionVariable(&w.desk.dropped)
    else:
        _tell(w)


cdef bint _signaled(HANDLE handle, unsigned char back) noexcept nogil:
    """Whether a wait by this thread would take it now; takes nothing."""
    cdef EventInformation event
    cdef SemaphoreInformation semaphore
    cdef MutexInformation mutex
    if back == LET_GO:
        return NtQueryMutant(handle, 0, &mutex, 8, NULL) >= 0 and (mutex.count > 0 or mutex.mine)
    if back == COUNT:
        return NtQuerySemaphore(handle, 0, &semaphore, 8, NULL) >= 0 and semaphore.count > 0
    return NtQueryEvent(handle, 0, &event, 8, NULL) >= 0 and event.state


# -------------------------------------------------------------------------------------------------------- takers
cdef struct Slumber:  # what a taker sleeps on, in the order of the waits and of each wait's objects: the lowest is taken
    HANDLE handle[MOST]
    Watched *wait[MOST]
    int place[MOST]
    DWORD count
    DWORD patience             # milliseconds until a wait for a queue is to be tried


cdef void _lay_out(Group *g, Slumber *s) noexcept nogil:
    cdef int i = 0, k
    while i < g.waits:
        if g.wait[i].leaving:
            _finish(g.wait[i])
        else:
            i += 1
    s.count = 0
    s.patience = INFINITE
    for i in range(g.waits):
        if g.wait[i].queue != NULL:
            s.patience = min(s.patience, <DWORD>max(0, (g.wait[i].until - nshm_now()) // 1000000 + 1))
        for k in range(g.wait[i].start, g.wait[i].stop):
            s.handle[s.count] = g.wait[i].handle[k]
            s.wait[s.count] = g.wait[i]
            s.place[s.count] = k
            s.count += 1


cdef void _took(Slumber *s, DWORD i) noexcept nogil:
    cdef Watched *w = s.wait[i]
    cdef int k = s.place[i]
    cdef DWORD j
    if w.queue != NULL:
        nshm_queue_rung(w.queue, w.bell)
    if w.all or w.back[k] == LET_GO:
        _give_back(w, k)
        w.turns += not w.all
    else:
        w.taken = k
    _finish(w)
    if w.back[k] != NOTHING or _signaled(s.handle[i], NOTHING):
        return
    # A manual event that is not set any more was pulsed, for everybody who waited; this thread waited for several.
    for j in range(s.count):
        w = s.wait[j]
        k = s.place[j]
        if w.group != NULL and w.back[k] == NOTHING and NtCompareObjects(s.handle[j], s.handle[i]) == 0:
            if not w.all:
                w.taken = k
            _finish(w)


cdef void _finish_all(Group *g, bint orphaned_only) noexcept nogil:
    cdef int i = 0
    while i < g.waits:
        if g.wait[i].orphaned or not orphaned_only:
            _finish(g.wait[i])
        else:
            i += 1


cdef void _finish_late(Group *g) noexcept nogil:
    cdef int64_t now = nshm_now()
    cdef int i = 0
    while i < g.waits:
        if g.wait[i].queue != NULL and g.wait[i].until <= now:
            _finish(g.wait[i])
        else:
            i += 1


cdef void _hand_over(Group *g, Watched *w) noexcept nogil:
    """This thread owns an abandoned mutex, and ends with it."""
    w.orphaned = True
    g.before = g.thread
    g.thread = CreateThread(NULL, TAKER_STACK, taker, g, STACK_SIZE_PARAM_IS_A_RESERVATION, NULL)
    if g.thread == NULL:  # the next wait tries again, and fails if there still cannot be a thread
        CloseHandle(g.before)
        g.before = NULL
        _finish_all(g, False)


cdef DWORD taker(void *group) noexcept nogil:
    cdef Group *g = <Group *>group
    cdef Desk *desk = g.desk
    cdef Slumber s
    cdef DWORD state
    cdef int waits
    if g.before != NULL:
        WaitForSingleObject(g.before, INFINITE)  # a thread's mutexes are abandoned before it counts as ended
        CloseHandle(g.before)
        g.before = NULL
    AcquireSRWLockExclusive(&desk.lock)
    _finish_all(g, True)
    while True:
        _lay_out(g, &s)
        waits = g.waits
        desk.asleep += waits
        ReleaseSRWLockExclusive(&desk.lock)
        if s.count:
            state = WaitForMultipleObjectsEx(s.count, s.handle, False, s.patience, True)
        else:
            state = SleepEx(INFINITE, True)
        AcquireSRWLockExclusive(&desk.lock)
        desk.asleep -= waits
        desk.wakes += 1
        if state < s.count:
            _took(&s, state)
        elif WAIT_ABANDONED <= state < WAIT_ABANDONED + s.count:
            _hand_over(g, s.wait[state - WAIT_ABANDONED])
            break
        elif state == WAIT_TIMEOUT:
            _finish_late(g)
        elif state == WAIT_FAILED:  # somebody closed handles that were not his: the waits make new ones
            _finish_all(g, False)
    ReleaseSRWLockExclusive(&desk.lock)
    return 0


cdef void _leave(Watched *w) noexcept nogil:
    """When this returns no taker has it any more, and what was taken for it has been given back."""
    if w.desk == NULL:
        return
    AcquireSRWLockExclusive(&w.desk.lock)
    _untell(w)
    if w.group != NULL:
        w.leaving = True
        while w.group != NULL:
            QueueUserAPC(nothing, w.group.thread, 0)
            SleepConditionVariableSRW(&w.desk.dropped, &w.desk.lock, INFINITE, 0)
        w.leaving = False
    if w.taken >= 0:
        _give_back(w, w.taken)
        w.taken = -1
    ReleaseSRWLockExclusive(&w.desk.lock)


cdef Group *_room(Desk *desk, int objects) noexcept nogil:
    """A group with room for so many and a taker; NULL if there cannot be one."""
    cdef Group *g = desk.groups
    while g != NULL and g.objects + objects > MOST:
        g = g.next
    if g == NULL:
        g = <Group *>calloc(1, sizeof(Group))
        if g == NULL:
            return NULL
        g.desk = desk
        g.next = desk.groups
        desk.groups = g
    if g.thread == NULL:
        g.thread = CreateThread(NULL, TAKER_STACK, taker, g, STACK_SIZE_PARAM_IS_A_RESERVATION, NULL)
    return NULL if g.thread == NULL else g


cdef DWORD _join(Desk *desk, Watched *w, bint at_once) noexcept nogil:
    """Watched from now on, or ready at once: 0, or why it cannot be."""
    cdef Group *g
    cdef DWORD error = 0
    AcquireSRWLockExclusive(&desk.lock)
    if at_once:
        _tell(w)
    else:
        g = _room(desk, w.stop - w.start)
        if g == NULL:
            error = GetLastError()
            if error == 0:
                error = NOT_ENOUGH_MEMORY
        else:
            g.wait[g.waits] = w
            g.waits += 1
            g.objects += w.stop - w.start
            w.group = g
            QueueUserAPC(nothing, g.thread, 0)
    ReleaseSRWLockExclusive(&desk.lock)
    return error


cdef int _fetch(Watched *w) noexcept nogil:
    """The index of what a taker took for it, which is ours now; -1: nothing."""
    cdef int taken = -1
    if w.desk != NULL:
        AcquireSRWLockExclusive(&w.desk.lock)
        taken = w.taken
        w.taken = -1
        ReleaseSRWLockExclusive(&w.desk.lock)
    return taken


# -------------------------------------------------------------------------------------------------------- for Python
@no_gc_clear
cdef class Wait:
    """contract.PolledWait"""
    cdef Watched _w
    cdef tuple _handles
    cdef object __weakref__

    def __cinit__(self, handles, bint all):
        cdef SyncHandle handle
        cdef tuple waited = tuple(handles)
        if not 1 <= len(waited) <= MOST:
            raise errors.InvalidArgument(
                f"Cannot wait for {len(waited)} objects: 1 to {MOST} are possible", call="WaitForMultipleObjects")
        for item in waited:
            handle = <SyncHandle?>item
            handle._valid("wait for")
        self._handles = waited
        self._w.all = all
        self._w.taken = -1
        self._w.owner = <PyObject *>self

    def __dealloc__(self):
        _leave(&self._w)  # with the GIL: else ready() could meanwhile find what is going
        self._close()

    def __len__(self):
        return len(self._handles)

    def poll(self):
        cdef int taken = _fetch(&self._w)
        if taken >= 0:
            return taken, 0
        got = wait_for(self._handles, self._w.all, 0 if self._w.turns < PATIENT else QUEUE)
        return None if got[0] < 0 else got

    cdef int _begin(self) except -1:
        """Handles of its own, and with more rights: to look at the state, and to give back."""
        cdef SyncHandle handle
        cdef EventInformation event
        cdef DWORD error
        cdef int k = 0
        for handle in self._handles:
            handle._enter("wait for")
            error = handle._leave(DuplicateHandle(
                GetCurrentProcess(), handle._handle, GetCurrentProcess(), &self._w.handle[k],
                _sync_rights(handle.kind, "full") | QUERY_STATE, False, 0))
            if error:
                raise handle._failed(error, "DuplicateHandle", "wait in asyncio for {}")
            self._w.back[k] = LET_GO if handle.kind == "mutex" else COUNT
            if handle.kind == "event":
                event.automatic = 1
                NtQueryEvent(self._w.handle[k], 0, &event, 8, NULL)
                self._w.back[k] = SET if event.automatic else NOTHING
            k += 1
            self._w.count = k
            handle.watch(self)
        return 0

    cdef void _close(self):
        cdef SyncHandle handle
        while self._w.count:
            self._w.count -= 1
            CloseHandle(self._w.handle[self._w.count])
        if self._handles is not None:  # None: garbage that is being taken apart
            for handle in self._handles:
                handle.unwatch(self)

    cdef void _stop(self):
        with nogil:
            _leave(&self._w)
        self._close()

    cdef void handle_closed(self):
        """The user closed a handle under it: the loop's thread polls and is told."""
        self._stop()
        AcquireSRWLockExclusive(&self._w.desk.lock)
        _tell(&self._w)
        ReleaseSRWLockExclusive(&self._w.desk.lock)


cdef extern from "namedshm_queue.h" nogil:
    enum:
        NSHM_AWAIT_MESSAGE, NSHM_AWAIT_ROOM, NSHM_AWAIT_CHUNK, NSHM_AWAIT_CHUNK_AND_ROOM
    int nshm_queue_watch(nshm_queue *, int, HANDLE *, int64_t *)
    void nshm_queue_rung(nshm_queue *, HANDLE)
    void nshm_queue_ended(nshm_queue *, int)

AWAITED = {
    "message": NSHM_AWAIT_MESSAGE, "room": NSHM_AWAIT_ROOM, "chunk": NSHM_AWAIT_CHUNK, "chunk and room": NSHM_AWAIT_CHUNK_AND_ROOM}


@no_gc_clear
cdef class QueueWait:
    """contract.PolledQueueWait"""
    cdef Watched _w
    cdef QueueHandle _queue  # in its gate until this wait is gone: a taker may be at its words
    cdef int _what
    cdef object _attempt
    cdef bint _begun         # it was armed: a wake-up may have come that others need
    cdef object __weakref__

    def __cinit__(self, QueueHandle queue not None, str what, attempt):
        cdef int awaited = AWAITED[what]
        queue.enter("wait")
        self._queue = queue
        self._what = awaited
        self._attempt = attempt
        self._w.queue = &queue.q
        self._w.back[0] = SET
        self._w.stop = 1
        self._w.taken = -1
        self._w.owner = <PyObject *>self

    def __dealloc__(self):
        if self._queue is not None:
            _leave(&self._w)
            self._close()
            self._pass_on()
            self._queue.leave()

    def __len__(self):
        return 1

    cdef void _close(self) noexcept:
        if self._w.count:
            self._w.count = 0
            CloseHandle(self._w.handle[0])

    cdef void _pass_on(self) noexcept:
        if self._begun:
            self._begun = False
            nshm_queue_ended(&self._queue.q, self._what)

    cdef void _stop(self):
        with nogil:
            _leave(&self._w)
        self._close()

    def end(self):
        """It is over, with whatever outcome."""
        self._pass_on()

    def poll(self):
        """(what the try gave,), or None if it said Full or Empty.  Raises what else it raises."""
        _fetch(&self._w)  # the bell was rung for this try
        if nshm_gate_closed(&self._queue.gate):
            raise self._queue.failure(-EBADF, "wait")
        try:
            return (self._attempt(),)
        except (queue_full, queue_empty):
            return None

    cdef int _watch(self, Desk *desk) except -1:
        cdef bint there
        cdef DWORD error
        self._begun = True
        there = nshm_queue_watch(&self._queue.q, self._what, &self._w.bell, &self._w.until) != 0
        # A handle of its own: the same one twice among those that a taker sleeps on is not allowed.
        if not DuplicateHandle(
                GetCurrentProcess(), self._w.bell, GetCurrentProcess(), &self._w.handle[0], 0, False, DUPLICATE_SAME_ACCESS):
            raise _failure(GetLastError(), "DuplicateHandle", self._queue.name, "wait in asyncio for {}", "queue")
        self._w.count = 1
        self._w.desk = desk
        error = _join(desk, &self._w, there or nshm_gate_closed(&self._queue.gate) != 0)
        if error:
            self._close()
            raise _failure(error, "CreateThread", None, "watch objects for asyncio")
        return 0


cdef class Watcher:
    """contract.Watcher"""
    cdef Desk *_desk

    def __cinit__(self):
        self._desk = <Desk *>calloc(1, sizeof(Desk))
        if self._desk == NULL:
            raise MemoryError
        InitializeSRWLock(&self._desk.lock)
        InitializeConditionVariable(&self._desk.dropped)
        self._desk.told = CreateEventExW(NULL, NULL, 0, SYNCHRONIZE | 2)
        if self._desk.told == NULL:
            raise _failure(GetLastError(), "CreateEventExW", None, "watch objects for asyncio")

    @property
    def wakes(self):
        return self._desk.wakes

    @property
    def asleep(self):
        return self._desk.asleep

    def add(self, wait not None):
        if isinstance(wait, QueueWait):
            (<QueueWait>wait)._watch(self._desk)
        else:
            self._add(wait)
        return True

    cdef int _add(self, Wait wait) except -1:
        cdef Watched *w = &wait._w
        cdef DWORD error
        cdef bint missing = False
        for handle in wait._handles:
            (<SyncHandle>handle)._valid("wait for")
        w.desk = self._desk
        try:
            wait._begin()
        except errors.NamedShmError:
            wait._close()
            raise
        w.start, w.stop = 0, w.count
        if w.all:
            for k in range(w.count):
                if not _signaled(w.handle[k], w.back[k]):
                    w.start, w.stop, missing = k, k + 1, True
                    break
        error = _join(self._desk, w, w.all and not missing)  # all came since it was polled
        if error:
            wait._close()
            raise _failure(error, "CreateThread", None, "watch objects for asyncio")
        return 0

    def remove(self, wait not None):
        if isinstance(wait, QueueWait):
            (<QueueWait>wait)._stop()
        else:
            (<Wait?>wait)._stop()

    def ready(self):
        cdef Watched *w
        cdef object wait
        cdef list found = []
        with nogil:
            WaitForSingleObject(self._desk.told, INFINITE)
        while True:
            wait = None
            AcquireSRWLockExclusive(&self._desk.lock)
            w = self._desk.ready
            if w != NULL:
                _untell(w)
                wait = <object>w.owner
            ReleaseSRWLockExclusive(&self._desk.lock)
            if wait is None:
                return found
            found.append(wait)
