# _unbound.h for Cython: see there.
from cpython.object cimport PyTypeObject

cdef extern from "_unbound.h":
    int nshm__guard_method(PyTypeObject *, object) except -1


# Called last by a module, with its globals().
cdef inline int guard_methods(dict names) except -1:
    for cls in list(names.values()):
        if isinstance(cls, type) and cls.__module__ == names["__name__"]:
            for method in cls.__dict__.values():
                if type(method).__name__ == "cython_function_or_method":
                    nshm__guard_method(<PyTypeObject *>cls, method)
    return 0
