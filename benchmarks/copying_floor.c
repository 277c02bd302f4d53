/* copying_floor.c - writing large memory in C, by one thread: what a copy costs without any library.
 *
 *   copying_floor fresh SIZE N       shmget, shmat, memcpy: the pages come by faults
 *   copying_floor populate SIZE N    the same with MADV_POPULATE_WRITE before the memcpy
 *   copying_floor warm SIZE N        memcpy into pages that are there
 *
 * Prints nanoseconds, the median of N.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <time.h>
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}
static char *segment(size_t size) {
    int id = shmget(IPC_PRIVATE, size, IPC_CREAT | 0600);
    char *p = id < 0 ? (char *)-1 : (char *)shmat(id, NULL, 0);
    if (p == (char *)-1) exit(2);
    shmctl(id, IPC_RMID, NULL);
    return p;
}
static int ascending(const void *a, const void *b) { return *(const double *)a < *(const double *)b ? -1 : 1; }

int main(int argc, char **argv) {
    if (argc < 4) return 1;
    size_t size = (size_t)atol(argv[2]);
    int n = atoi(argv[3]), warm = !strcmp(argv[1], "warm"), populate = !strcmp(argv[1], "populate");
    double *times = (double *)calloc((size_t)n, sizeof *times);
    char *source = (char *)malloc(size), *target = warm ? segment(size) : NULL;
    memset(source, 7, size);
    if (warm) memset(target, 1, size);
    for (int i = 0; i < n; i++) {
        double start = now();
        if (!warm) target = segment(size);
        if (populate && madvise(target, size, MADV_POPULATE_WRITE)) return 2;
        memcpy(target, source, size);
        times[i] = now() - start;
        if (!warm) shmdt(target);
    }
    qsort(times, (size_t)n, sizeof *times, ascending);
    printf("%.0f\n", times[n / 2]);
    return 0;
}
