# _gate.h for Cython: see there.
cdef extern from "_gate.h":
    ctypedef struct nshm_gate:
        pass
    void nshm_gate_shut(nshm_gate *)
    void nshm_gate_open(nshm_gate *)
    bint nshm_gate_closed(const nshm_gate *)
    bint nshm_gate_enter(nshm_gate *)
    bint nshm_gate_leave(nshm_gate *)
    Py_ssize_t nshm_gate_close(nshm_gate *)
    int nshm_gate_close_alone(nshm_gate *)
