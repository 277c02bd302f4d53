# Part of both compiled backends: times.

from namedshm._arguments import seconds as checked_seconds

#: Seconds a wait tries before it sleeps, unless told: about what going to sleep and being woken costs.  See decision 7.
SPIN = 0.00001


# Nanoseconds of a timeout: 0 for none, 2**63 - 1 for ever.  Converting may run Python code: before anything is looked at.
cdef long long nanoseconds(object timeout, str call, object name) except -1:
    cdef object length
    if timeout is None:
        return 0x7FFFFFFFFFFFFFFF
    if type(timeout) is int and timeout == 0:  # a try: the most frequent one
        return 0
    if type(timeout) is float and 0 <= timeout <= 9e9:  # what seconds() would give back as it is
        return <long long>(<double>timeout * 1e9)
    length = checked_seconds(timeout, call, name)
    return 0x7FFFFFFFFFFFFFFF if length is None else <long long>(<double>length * 1e9)
