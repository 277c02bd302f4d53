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
    """Sleep until one of the Waits (WATCH_MAX objects at most) deserves a poll or `control` is no longer `seen`; those Waits."""
    cdef nshm_wait_context *contexts[128]
    cdef unsigned char ready[128]
    cdef tuple watched = tuple(waits)
    cdef int count = len(watched), i
    if count > 127:
        raise ValueError("too many waits for one thread")
    for i in range(count):
        contexts[i] = &(<Wait?>watched[i]).c
    with nogil:
        nshm_watch(contexts, count, &control.word, seen, ready)
    return [watched[i] for i in range(count) if ready[i]]
