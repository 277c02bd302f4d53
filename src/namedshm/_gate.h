/* _gate.h - who may still use what a Python object holds, and who lets it go.
 *
 * What:   one word per handle, view or wait: is it closed, and how many operations are on it.
 * Why:    an operation runs without the GIL, or runs Python code in its midst (a signal handler, the collector, somebody's
 *         __index__), and any of that may close the object.  So: convert all arguments first, then enter, then use, then leave.
 *         Who is in may use the memory, whoever closes meanwhile; who comes after is refused; the last one out lets it go.
 * Not:    a lock.  Two operations may be in at once; close() never waits for anybody.
 *
 * With the GIL, which everybody who touches the word holds, this is plain arithmetic; without one, sequentially consistent
 * atomics: what the last one out lets go of, the others are done with.
 */
#ifndef NAMEDSHM_GATE_H
#define NAMEDSHM_GATE_H
#include <Python.h>

typedef struct {
    Py_ssize_t word; /* bit 0: closed; above: operations that are in */
} nshm_gate;
#define NSHM_GATE_CLOSED 1
#define NSHM_GATE_ONE 2

#if !defined(Py_GIL_DISABLED)
static inline Py_ssize_t nshm__gate_load(const nshm_gate *g) { return g->word; }
static inline Py_ssize_t nshm__gate_add(nshm_gate *g, Py_ssize_t n) { return g->word += n; }
static inline int nshm__gate_swap(nshm_gate *g, Py_ssize_t *seen, Py_ssize_t to) {
    (void)seen;
    g->word = to;
    return 1;
}
#elif defined(_MSC_VER)
#include <intrin.h>
static inline Py_ssize_t nshm__gate_load(const nshm_gate *g) { return *(volatile const Py_ssize_t *)&g->word; }
static inline Py_ssize_t nshm__gate_add(nshm_gate *g, Py_ssize_t n) { return _InterlockedExchangeAdd64(&g->word, n) + n; }
static inline int nshm__gate_swap(nshm_gate *g, Py_ssize_t *seen, Py_ssize_t to) {
    Py_ssize_t was = _InterlockedCompareExchange64(&g->word, to, *seen);
    int done = was == *seen;
    *seen = was;
    return done;
}
#else
static inline Py_ssize_t nshm__gate_load(const nshm_gate *g) { return __atomic_load_n(&g->word, __ATOMIC_SEQ_CST); }
static inline Py_ssize_t nshm__gate_add(nshm_gate *g, Py_ssize_t n) { return __atomic_add_fetch(&g->word, n, __ATOMIC_SEQ_CST); }
static inline int nshm__gate_swap(nshm_gate *g, Py_ssize_t *seen, Py_ssize_t to) {
    return __atomic_compare_exchange_n(&g->word, seen, to, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}
#endif

/* A new object is closed until it holds something.  Both before anybody else knows of it. */
static inline void nshm_gate_shut(nshm_gate *g) { g->word = NSHM_GATE_CLOSED; }
static inline void nshm_gate_open(nshm_gate *g) { g->word = 0; }

static inline int nshm_gate_closed(const nshm_gate *g) { return (int)(nshm__gate_load(g) & NSHM_GATE_CLOSED); }

/* Go in: 1, or 0 if it is closed.  Who is in calls nshm_gate_leave once, on every way out. */
static inline int nshm_gate_enter(nshm_gate *g) {
    Py_ssize_t seen = nshm__gate_load(g);
    do {
        if (seen & NSHM_GATE_CLOSED) return 0;
    } while (!nshm__gate_swap(g, &seen, seen + NSHM_GATE_ONE));
    return 1;
}
/* 1: closed, and this was the last one: let go of what it holds. */
static inline int nshm_gate_leave(nshm_gate *g) { return nshm__gate_add(g, -NSHM_GATE_ONE) == NSHM_GATE_CLOSED; }

/* Close it, and be in: -1 if somebody did before (then do nothing), else how many others are in.  Nobody comes in any more. */
static inline Py_ssize_t nshm_gate_close(nshm_gate *g) {
    Py_ssize_t seen = nshm__gate_load(g);
    do {
        if (seen & NSHM_GATE_CLOSED) return -1;
    } while (!nshm__gate_swap(g, &seen, (seen | NSHM_GATE_CLOSED) + NSHM_GATE_ONE));
    return seen / NSHM_GATE_ONE;
}
/* The same, but only if nobody is in: 1; 0: somebody is, and it stays open; -1: it was closed before. */
static inline int nshm_gate_close_alone(nshm_gate *g) {
    Py_ssize_t seen = 0;
#if !defined(Py_GIL_DISABLED)
    seen = nshm__gate_load(g);
    if (seen) return seen & NSHM_GATE_CLOSED ? -1 : 0;
#endif
    if (nshm__gate_swap(g, &seen, NSHM_GATE_CLOSED + NSHM_GATE_ONE)) return 1;
    return seen & NSHM_GATE_CLOSED ? -1 : 0;
}
#endif
