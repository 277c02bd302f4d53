# Handing handles to other processes: include/namedshm.h's parcels, kept until they are claimed by parcels.h.  Part of native.pyx.

SYNC_ACCESS = ("full", "wait", "modify")


def check_receiver(int pid):
    """0, -ESRCH: there is no such process (any more), -EPERM: it is another user's."""
    return nshm_check_receiver(pid)


def send(handle, int pid, bytes label not None, str access not None):
    """Leave a parcel for `pid`: 0, or what check_receiver() says.  A thread of its own keeps it until it is taken (_parcels.h)."""
    cdef nshm_parcel *p = NULL
    cdef nshm_scope *s = scope_of(False)
    cdef SyncHandle sync = handle if isinstance(handle, SyncHandle) else None
    cdef Handle section = None if sync is not None else <Handle?>handle
    cdef uint32_t right = SYNC_ACCESS.index(access) if sync is not None else 0
    cdef bint readonly = section is not None and access == "read"
    cdef const nshm_handle *h
    cdef const char *text = label
    cdef size_t n = len(label)
    cdef int r = nshm_parcel_new(pid, &p)
    if r == -ESRCH or r == -EPERM:
        return r
    if r < 0:
        raise explain(r, "send", handle.name, 0)
    try:
        if sync is not None:
            h = &sync.h
            sync.enter(True, "send")
        else:
            h = &section.h
            section.enter("send")
        try:
            while True:
                r = nshm_parcel_list(p)
                if not r:
                    with nogil:
                        r = nshm_send(s, h, right, text, n, readonly, &p.kept)
                        if not r:
                            nshm_parcel_done(p)
                if not r:
                    p = NULL  # the thread's
                    return 0
                nshm_parcel_withdraw(p)
                if r != -EINTR:
                    raise explain(-EBADF if closed_meanwhile(sync, section) else r, "send", handle.name, 0)
                PyErr_CheckSignals()
        finally:
            if sync is not None:
                sync.leave()
            else:
                section.leave()
    finally:
        if p != NULL:
            nshm_parcel_free(p)


cdef bint closed_meanwhile(SyncHandle sync, Handle section) noexcept:
    return bool(nshm_gate_closed(&sync.gate if sync is not None else &section.gate))


def receive(bytes label not None):
    """The Handle or SyncHandle that a parcel of this label brings; None if there is none."""
    cdef Handle section = Handle.__new__(Handle)
    cdef SyncHandle sync = SyncHandle.__new__(SyncHandle)
    cdef nshm_scope *s = scope_of(False)
    cdef nshm_scope *g = scope_of(True)
    cdef const char *text = label
    cdef size_t n = len(label)
    cdef nshm_handle h
    cdef nshm_note note
    cdef int r
    memset(&h, 0, sizeof(h))
    nshm_flight_begin(&h)
    with nogil:
        r = nshm_receive(s, g, text, n, &h, &note)
    nshm_flight_end(&h)  # nothing below gives the GIL away before it is owned
    if r == -ENOENT:
        return None
    if r < 0:
        raise explain(r, "receive", None, 0)
    if h.type == NSHM_SECTION:
        section.h = h
        section.own(None, note.readonly)
        return section
    sync.h = h
    sync.own(None, TYPES.get(h.type, "section"), SYNC_ACCESS[min(note.access, 2)])
    return sync
