# Security descriptors, and who this process is.  Part of native.pyx.

cdef class Descriptor:
    cdef void *_pointer

    def __cinit__(self, str sddl):
        cdef _Wide text = _Wide(sddl)
        if not ConvertStringSecurityDescriptorToSecurityDescriptorW(text.text, 1, &self._pointer, NULL):
            raise _failure(
                GetLastError(), "ConvertStringSecurityDescriptorToSecurityDescriptorW", None, f"make a descriptor of {sddl!r}")

    def __dealloc__(self):
        if self._pointer != NULL:
            LocalFree(self._pointer)


cdef SECURITY_ATTRIBUTES _attributes(Descriptor descriptor, bint inheritable):
    cdef SECURITY_ATTRIBUTES attributes
    attributes.nLength = sizeof(SECURITY_ATTRIBUTES)
    attributes.lpSecurityDescriptor = NULL if descriptor is None else descriptor._pointer
    attributes.bInheritHandle = inheritable
    return attributes


cdef bytes _token(int kind):
    cdef HANDLE token = NULL
    cdef DWORD size = 0
    cdef bytearray data
    if not OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &token):
        raise _failure(GetLastError(), "OpenProcessToken", None, "look at the rights of this process")
    try:
        GetTokenInformation(token, kind, NULL, 0, &size)
        data = bytearray(size)
        if not GetTokenInformation(token, kind, <char *>data, size, &size):
            raise _failure(GetLastError(), "GetTokenInformation", None, "look at the rights of this process")
    finally:
        CloseHandle(token)
    return bytes(data)


def can_create_global():
    cdef LUID wanted
    cdef TOKEN_PRIVILEGES *privileges
    cdef _Wide name = _Wide("SeCreateGlobalPrivilege")
    cdef bytes data = _token(TOKEN_PRIVILEGES_CLASS)
    cdef DWORD i
    if not LookupPrivilegeValueW(NULL, name.text, &wanted):
        return False
    privileges = <TOKEN_PRIVILEGES *><char *>data
    for i in range(privileges.PrivilegeCount):
        if privileges.Privileges[i].Luid.LowPart == wanted.LowPart and privileges.Privileges[i].Luid.HighPart == wanted.HighPart:
            return privileges.Privileges[i].Attributes & 2 != 0  # SE_PRIVILEGE_ENABLED
    return False


cdef object _sid_text(void *sid):
    cdef wchar_t *text = NULL
    if not ConvertSidToStringSidW(sid, &text):
        raise _failure(GetLastError(), "ConvertSidToStringSidW", None, "name a user")
    try:
        return PyUnicode_FromWideChar(text, -1)
    finally:
        LocalFree(text)


def user_sid():
    cdef bytes data = _token(TOKEN_USER_CLASS)
    return _sid_text((<TOKEN_USER *><char *>data).User.Sid)


def group_sid():
    cdef bytes data = _token(TOKEN_PRIMARY_GROUP_CLASS)
    return _sid_text((<TOKEN_PRIMARY_GROUP *><char *>data).PrimaryGroup)


def account_sid(str account):
    cdef _Wide name = _Wide(account)
    cdef char sid[128]
    cdef wchar_t domain[512]
    cdef DWORD size = sizeof(sid), domain_size = 512
    cdef SID_NAME_USE use
    if not LookupAccountNameW(NULL, name.text, sid, &size, domain, &domain_size, &use):
        raise _failure(GetLastError(), "LookupAccountNameW", None, f"find the group {account!r}")
    return _sid_text(sid)
