# Looking around: what lives, and what the system says of memory, segments and registries.  By system calls alone, so that it works
# without /proc and without a descriptor.  Part of native.pyx.

cdef extern from "<sys/sysinfo.h>" nogil:
    struct sysinfo_facts "sysinfo":
        unsigned long totalram, totalswap
        unsigned mem_unit
    int sysinfo(sysinfo_facts *)

cdef extern from "<sys/shm.h>" nogil:
    struct shmid_ds:
        pass
    struct shminfo:
        unsigned long shmmax, shmmni, shmall
    struct shm_info:
        int used_ids
        unsigned long shm_tot
    int shmctl(int, int, shmid_ds *)
    int IPC_INFO, SHM_INFO

cdef extern from "namedshm.h" nogil:
    enum:
        NSHM_VERSION
    ctypedef struct nshm_registry_facts:
        int id, cpid
        uint32_t cuid, gid, mode, version
        uint64_t attached, session
    int nshm_next_registry(int *, nshm_registry_facts *)
    int nshm_why()

FORMAT_VERSION = NSHM_VERSION


cdef object shown(bytes name):
    """The text of a name.  Bytes that are no text, which only other languages' programs can put there, are shown as \\xe9 and a
    backslash, which no name from here has, as two: so that what is shown is the text of no other name."""
    try:
        if b"\\" not in name or name.startswith(b"\0"):
            return name.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        pass
    return name.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")


def objects(bint is_global):
    """Tuples (bare name, type, size, handles, mappings, pid, uid, born, mode, data id, nonce, props) of what lives in a scope."""
    cdef nshm_info info
    cdef uint32_t cursor = 0
    cdef nshm_scope *s = scope_of(is_global)
    cdef int r
    out = []
    while True:
        with nogil:  # the first time it finds the registry, or waits for one that is being made
            r = nshm_next(s, &cursor, &info)
        if r == -ENOENT:
            return out
        if r < 0:
            raise explain(r, "list", None, 0)
        if info.record.type & NSHM_PARCEL:
            continue
        out.append((shown(info.record.name[:info.record.length]), TYPES.get(info.record.type, "section"),
                    info.record.size, info.handles, info.mappings, info.record.pid, info.maker, info.record.born,
                    info.record.mode, info.record.data, info.record.nonce, info.record.props))


def scope_state(bint is_global):
    cdef nshm_scope *s = scope_of(is_global)
    cdef nshm_place *p = NULL
    cdef int r = nshm_place_of(s, 0, &p)
    state = {"registry": None, "writable": bool(s.may_create), "uid": s.uid, "capacity": NSHM_CAPACITY, "spare": None}
    if p != NULL:
        state.update(registry=p.id, writable=bool(p.writable), spare=p.spare.id if p.spare.at != NULL else None)
    if r < 0 and r != -ENOENT:
        raise explain(r, "look for the registry of", None, 0)
    return state


def memory():
    cdef sysinfo_facts facts
    if sysinfo(&facts):
        return None
    return (<uint64_t>facts.totalram + facts.totalswap) * facts.mem_unit


def segment_limits():
    cdef shminfo limits
    cdef shm_info use
    if shmctl(0, IPC_INFO, <shmid_ds *>&limits) < 0 or shmctl(0, SHM_INFO, <shmid_ds *>&use) < 0:
        return None
    return limits.shmmni, use.used_ids, limits.shmall, use.shm_tot, limits.shmmax


def registries(bint is_global):
    cdef nshm_registry_facts facts
    cdef nshm_scope *s = scope_of(is_global)
    cdef int cursor = 0
    out = []
    while nshm_next_registry(&cursor, &facts) == 0:
        if is_global == (facts.mode & 0o044 != 0) and (is_global or facts.cuid == s.uid) \
                and (not facts.version or facts.session == s.session):
            out.append((facts.id, facts.cuid, facts.gid, facts.mode, facts.cpid, facts.attached, facts.version))
    return out


def why():
    return nshm_why()


cdef class Arrivals:
    """contract.Arrivals"""
    cdef nshm_arrivals a

    def __init__(self, bint is_global):
        cdef nshm_scope *s = scope_of(is_global)
        cdef int r
        nshm_arrivals_end(&self.a)
        with nogil:
            r = nshm_arrivals_begin(s, &self.a)
        if r < 0:
            raise explain(r, "open", None, 0)

    def __dealloc__(self):
        nshm_arrivals_end(&self.a)

    def wait(self, seconds):
        cdef int64_t most = -1 if seconds is None or seconds > 1e6 else <int64_t>(<double>seconds * 1e9)
        with nogil:
            nshm_arrivals_sleep(&self.a, most)
        PyErr_CheckSignals()
