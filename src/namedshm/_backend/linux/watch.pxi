# Waits for event loops: polled there, and watched by a thread that sleeps for many (futex_waitv(2)).  Part of native.pyx.

WATCH_MAX = NSHM_WATCH_MAX


@no_gc_clear
cdef class Wait:
    """A wait that is polled instead of slept in; what happened between two polls (a pulse) is not lost."""
    cdef nshm_wait_context c
    cdef tuple handles      # in all of them until this wait is gone: a watching thread may be at their pages
    cdef uint32_t polling   # threads in poll(): one

    def __cinit__(self, handles, bint all):
        cdef tuple waited = several(handles)
        enter_all(waited, &self.c, all)
        self.handles = waited

    def __dealloc__(self):
        if self.handles is not None:
            leave_first(self.handles, len(self.handles))

    def __len__(self):
        return self.c.count

    def poll(self):
        """(index, abandoned mask) if it succeeds now, else None.  What is acquired is this thread's."""
        cdef SyncHandle handle
        cdef int r
        cdef uint64_t abandoned
        for handle in self.handles:
            if nshm_gate_closed(&handle.gate):
                raise explain(-EBADF, "wait", handle.name, 0)
        if nshm__add32(&self.polling, 1) != 1:
            nshm__add32(&self.polling, -1)
            raise RuntimeError("a wait is polled by one thread at a time")
        self.c.deadline = 0
        self.c.abandoned = 0
        with nogil:  # it may have to wait for somebody's wait-all
            r = nshm_wait(&self.c)
        abandoned = self.c.abandoned
        nshm__add32(&self.polling, -1)
        if r == -ETIMEDOUT or r == -EINTR:  # interrupted: it is watched now, and polled again
            return None
        if r < 0:
            raise explain_sync(r, "wait", None)
        return r & ~NSHM_ABANDONED, abandoned


cdef extern from "namedshm_queue.h" nogil:
    enum:
        NSHM_AWAIT_MESSAGE, NSHM_AWAIT_ROOM, NSHM_AWAIT_CHUNK, NSHM_AWAIT_CHUNK_AND_ROOM
    void nshm_queue_watch(nshm_queue *, int, int64_t *, nshm_watched *)
    void nshm_queue_watched(nshm_queue *, int)

AWAITED = {
    "message": NSHM_AWAIT_MESSAGE, "room": NSHM_AWAIT_ROOM, "chunk": NSHM_AWAIT_CHUNK, "chunk and room": NSHM_AWAIT_CHUNK_AND_ROOM}


cdef class ArmedWait:
    """A wait for a queue or a topic that is polled; each poll is a try of the caller's.  Watched, it takes nothing."""
    cdef void arm(self, nshm_watched *w) noexcept:
        w.ready = True

    def __len__(self):
        return 1


@no_gc_clear
cdef class QueueWait(ArmedWait):
    cdef QueueHandle queue  # in its gate until this wait is gone: a watching thread may be at its words
    cdef int what
    cdef object attempt
    cdef int64_t since      # when it was armed first after the last poll; 0: it was not
    cdef bint begun         # it was armed: a wake-up may have come that others need

    def __cinit__(self, QueueHandle queue not None, str what, attempt):
        cdef int awaited = AWAITED[what]
        queue.enter("wait")
        self.queue = queue
        self.what = awaited
        self.attempt = attempt

    def __dealloc__(self):
        if self.queue is not None:
            self.pass_on()
            self.queue.leave()

    # What is there is for the next one: see queue_watch.h.
    cdef void pass_on(self) noexcept:
        if self.begun:
            self.begun = False
            nshm_queue_watched(&self.queue.q, self.what)

    def end(self):
        """It is over, with whatever outcome."""
        self.pass_on()

    def poll(self):
        """(what the try gave,), or None if it said Full or Empty.  Raises what else it raises."""
        self.since = 0
        if nshm_gate_closed(&self.queue.gate):
            raise self.queue.failure(-EBADF, "wait")
        try:
            return (self.attempt(),)
        except (queue_full, queue_empty):
            return None

    cdef void arm(self, nshm_watched *w) noexcept:
        self.begun = True
        nshm_queue_watch(&self.queue.q, self.what, &self.since, w)
        if nshm_gate_closed(&self.queue.gate):
            w.ready = True


cdef extern from "namedshm_topic.h" nogil:
    void nshm_topic_watch(nshm_topic *, uint64_t, uint64_t *, nshm_watched *)
    void nshm_topic_watched(const nshm_topic *, uint64_t)


@no_gc_clear
cdef class TopicWait(ArmedWait):
    cdef TopicHandle topic  # in its gate until this wait is gone
    cdef bint anything      # the newest value will do, also if it was read
    cdef object attempt
    cdef uint64_t word      # what it was armed with
    cdef bint begun         # it was armed: a wake-up may have come that others need

    def __cinit__(self, TopicHandle topic not None, bint anything, attempt):
        topic.enter("wait")
        self.topic = topic
        self.anything = anything
        self.attempt = attempt

    def __dealloc__(self):
        if self.topic is not None:
            self.pass_on()
            self.topic.leave()

    cdef void pass_on(self) noexcept:
        if self.begun:
            self.begun = False
            nshm_topic_watched(&self.topic.t, self.word)

    def end(self):
        """It is over, with whatever outcome."""
        self.pass_on()

    def poll(self):
        """(what the try gave,), or None if there was no value.  Raises what else it raises."""
        self.pass_on()
        if nshm_gate_closed(&self.topic.gate):
            raise self.topic.failure(-EBADF, "wait")
        try:
            return (self.attempt(),)
        except topic_empty:
            return None

    cdef void arm(self, nshm_watched *w) noexcept:
        self.pass_on()
        self.begun = True
        nshm_topic_watch(&self.topic.t, 0 if self.anything else nshm__load64(&self.topic.read_up_to), &self.word, w)
        if nshm_gate_closed(&self.topic.gate):
            w.ready = True


cdef class Control:
    """A word that wakes a watching thread."""
    cdef uint32_t word

    @property
    def value(self):
        return nshm__load32(&self.word)

    def change(self):
        nshm__add32(&self.word, 1)
        nshm__wake(&self.word, 1)


def watch(list waits not None, Control control not None, uint32_t seen):
    """Sleep until a wait (WATCH_MAX objects at most) deserves a poll or `control` is no longer `seen`; those that do."""
    cdef nshm_wait_context *contexts[128]
    cdef nshm_watched words[128]
    cdef unsigned char ready[128]
    cdef list plain = [], queued = []
    cdef int count, extra, i
    if len(waits) > 127:
        raise ValueError("too many waits for one thread")
    for wait in tuple(waits):
        (queued if isinstance(wait, ArmedWait) else plain).append(wait)
    count, extra = len(plain), len(queued)
    for i in range(count):
        contexts[i] = &(<Wait?>plain[i]).c
    for i in range(extra):
        (<ArmedWait>queued[i]).arm(&words[i])
    with nogil:
        nshm_watch_with(contexts, count, &control.word, seen, ready, words, extra)
    return [plain[i] for i in range(count) if ready[i]] + [queued[i] for i in range(extra) if words[i].ready]
