/* _unbound.h - a compiled method called by its class gets an object of that class, or says so.
 *
 * What:   guard_methods() in _unbound.pxd makes every method of a module's compiled classes look at its first argument.
 * Why:    Cython takes whatever stands first in Class.method(first) for an object of the class, and reads its fields.
 * How:    each method is called through a pointer of its own (vectorcall).  It is exchanged for one that compares the type and goes on
 *         to the former, of which a module has one for each way to pass arguments.
 * Needs:  methods that have such a pointer: all but those that take **arguments, which are refused here.
 */
#ifndef NAMEDSHM_UNBOUND_H
#define NAMEDSHM_UNBOUND_H
#include <Python.h>
#include <stddef.h>

/* What a compiled method is, to begin with (Include/cpython/methodobject.h). */
#define NSHM__METHOD(f) ((PyCMethodObject *)(f))

static vectorcallfunc nshm__unguarded[4]; /* by the ways of passing arguments; written at import, always with the same */

static inline int nshm__passing(PyObject *method) {
    switch (NSHM__METHOD(method)->func.m_ml->ml_flags & (METH_NOARGS | METH_O | METH_FASTCALL | METH_KEYWORDS | METH_METHOD)) {
    case METH_NOARGS: return 0;
    case METH_O: return 1;
    case METH_FASTCALL | METH_KEYWORDS: return 2;
    case METH_FASTCALL | METH_KEYWORDS | METH_METHOD: return 3;
    default: return -1;
    }
}
static PyObject *nshm__guarded(PyObject *method, PyObject *const *arguments, size_t flagged, PyObject *names) {
    PyTypeObject *cls = NSHM__METHOD(method)->mm_class;
    if (PyVectorcall_NARGS(flagged) < 1 || !PyObject_TypeCheck(arguments[0], cls))
        return PyErr_Format(PyExc_TypeError, "%.200s() is a method of %.200s objects, not of %.200s",
                            NSHM__METHOD(method)->func.m_ml->ml_name, cls->tp_name,
                            PyVectorcall_NARGS(flagged) < 1 ? "nothing" : Py_TYPE(arguments[0])->tp_name);
    return nshm__unguarded[nshm__passing(method)](method, arguments, flagged, names);
}
/* `method`: of the class's dictionary.  0, or -1 with an exception. */
static inline int nshm__guard_method(PyTypeObject *cls, PyObject *method) {
    int way = nshm__passing(method);
    vectorcallfunc *call = &NSHM__METHOD(method)->func.vectorcall;
    if (Py_TYPE(method)->tp_vectorcall_offset != offsetof(PyCFunctionObject, vectorcall) || way < 0 || !*call) {
        PyErr_Format(PyExc_SystemError, "a method of %.200s cannot be guarded: %R", cls->tp_name, method);
        return -1;
    }
    if (*call == nshm__guarded) return 0;
    nshm__unguarded[way] = *call;
    Py_INCREF(cls);
    NSHM__METHOD(method)->mm_class = cls;
    *call = nshm__guarded;
    return 0;
}
#endif
