/* _streaming.h - copying what is larger than the cache: past it.
 *
 * A store to memory that is not in the cache reads its line first, and what a large copy writes drives out what others need.
 * memcpy() of the usual C libraries writes past the cache only in calls of hundreds of megabytes; copies here go unit by unit.
 * So: streaming stores, where the processor has them, which read nothing and keep nothing.  Elsewhere it is memcpy().
 */
#ifndef NAMEDSHM_STREAMING_H
#define NAMEDSHM_STREAMING_H
#include <stddef.h>
#include <string.h>
#if defined(__linux__)
#include <unistd.h>
#endif
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

/* Bytes of the largest cache; 32 MiB where the system does not tell. */
static size_t nshm__cache_size(void) {
#if defined(_SC_LEVEL3_CACHE_SIZE)
    long told = sysconf(_SC_LEVEL3_CACHE_SIZE);
    if (told > 0) return (size_t)told;
#endif
    return (size_t)32 << 20;
}

/* memcpy(), for what nobody reads soon.  When it returns, other processors may be told that the bytes are there. */
static void nshm__stream(char *to, const char *from, size_t size) {
#if defined(__SSE2__)
    enum { LINE = 64, AHEAD = 1024 };
    size_t head = (0 - (size_t)to) % LINE;
    if (head > size) head = size;
    memcpy(to, from, head);
    to += head, from += head, size -= head;
    for (; size >= LINE; to += LINE, from += LINE, size -= LINE) {
        __m128i a = _mm_loadu_si128((const __m128i *)from);
        __m128i b = _mm_loadu_si128((const __m128i *)(from + 16));
        __m128i c = _mm_loadu_si128((const __m128i *)(from + 32));
        __m128i d = _mm_loadu_si128((const __m128i *)(from + 48));
        _mm_prefetch(from + AHEAD, _MM_HINT_NTA); /* past the end it does nothing */
        _mm_stream_si128((__m128i *)to, a);
        _mm_stream_si128((__m128i *)(to + 16), b);
        _mm_stream_si128((__m128i *)(to + 32), c);
        _mm_stream_si128((__m128i *)(to + 48), d);
    }
    _mm_sfence(); /* streaming stores are not in order with the store that publishes them */
#endif
    memcpy(to, from, size);
}
#endif
