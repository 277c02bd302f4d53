# Users and groups, asked of the C library.  Part of native.pyx.

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
