# What the system says of users, memory and segments by system calls and libc alone: works without /proc and without a descriptor.
# Included by _linux.pyx.

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


def group_number(bytes name):
    cdef const char *text = name
    cdef uint32_t gid = 0
    cdef int r
    with nogil:
        r = nshm__group_number(text, &gid)
    if r < 0:
        raise OSError(-r, "the user database did not answer")
    return gid if r else None


def user_in_group(uint32_t uid, int64_t gid):
    cdef int r
    with nogil:
        r = nshm__member(uid, gid)
    if r < 0:
        raise OSError(-r, "the user database did not answer")
    return r == 1


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
