/* namedshm/common.h - what the parts have in common on every system: constants, flags, and the hook for tests.
 *
 * Owns:   nothing.
 * Needs:  no other part.
 */
#ifndef NAMEDSHM_PART_COMMON_H
#define NAMEDSHM_PART_COMMON_H
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* said before the first header of the C library */
#endif
#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define NSHM_SIZE_MAX (1ULL << 62)

enum { NSHM_LOCAL = 0, NSHM_GLOBAL = 1 };
/* flags of create and open */
enum { NSHM_READONLY = 1, NSHM_EXCLUSIVE = 2 };

#ifdef __cplusplus
#define NSHM__ASSERT static_assert
#else
#define NSHM__ASSERT _Static_assert
#endif

/* Test programs define this before they include a header of ours: a call that can stop or kill the process at the named step. */
#ifndef NSHM_STEP
#define NSHM_STEP(what) ((void)0)
#endif

static inline size_t nshm_page_round(uint64_t n) { return (size_t)((n + 4095u) & ~(uint64_t)4095u); }

static inline void nshm__pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}
#endif
