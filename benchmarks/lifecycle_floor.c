/* lifecycle_floor.c - the bare system calls, in C: what no library can go below.
 *
 *   lifecycle_floor create N [SIZE]        shmget, shmat, IPC_RMID, touch, shmdt: one segment, no name
 *   lifecycle_floor open N [SIZE]          shmat, read, shmdt of a living segment: one attachment, no name
 *   lifecycle_floor open2 N [SIZE]         the same with two attachments, as a handle and a view are (PROTOCOL: token and data)
 *   lifecycle_floor c-create N / c-open N  include/namedshm.h itself, without Python
 *
 * Prints nanoseconds per operation.
 */
#include "namedshm.h"
#include <stdio.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}
static void *attach(int id) {
    void *p = shmat(id, NULL, 0);
    if (p == (void *)-1) exit(2);
    return p;
}
static int segment(size_t size) {
    int id = shmget(IPC_PRIVATE, size, IPC_CREAT | 0600);
    if (id < 0) exit(2);
    return id;
}

int main(int argc, char **argv) {
    if (argc < 3) return 1;
    const char *what = argv[1];
    long n = atol(argv[2]);
    size_t size = argc > 3 ? (size_t)atol(argv[3]) : 4096;
    char name[64];
    nshm_scope scope;
    nshm_handle keep, h;
    nshm_scope_init(&scope, 0, "floor", -1, 1);
    int length = snprintf(name, sizeof name, "floor-%d", getpid());
    int data = segment(size), token = segment(1);
    volatile char *held = (char *)attach(data);
    attach(token);
    shmctl(data, IPC_RMID, NULL);
    shmctl(token, IPC_RMID, NULL);
    held[0] = 1;
    if (nshm_create(&scope, NSHM_SECTION, name, (size_t)length, size, 0600, -1, 0, NSHM_EXCLUSIVE, 0, NULL, NULL, &keep)) return 2;
    *(char *)keep.data = 1;
    char sum = 0;
    double start = now();
    for (long i = 0; i < n; i++) {
        if (!strcmp(what, "create")) {
            int id = segment(size);
            char *p = (char *)attach(id);
            shmctl(id, IPC_RMID, NULL);
            *(volatile char *)p = 1;
            shmdt(p);
        } else if (!strcmp(what, "open")) {
            char *p = (char *)attach(data);
            sum ^= *(volatile char *)p;
            shmdt(p);
        } else if (!strcmp(what, "open2")) {
            void *t = attach(token);
            char *p = (char *)attach(data);
            sum ^= *(volatile char *)p;
            shmdt(t);
            shmdt(p);
        } else if (!strcmp(what, "c-create")) {
            if (nshm_create(&scope, NSHM_SECTION, "floor", 5, size, 0600, -1, 0, NSHM_EXCLUSIVE, 0, NULL, NULL, &h)) return 2;
            *(volatile char *)h.data = 1;
            nshm_close(&h, 0);
        } else if (!strcmp(what, "c-open")) {
            if (nshm_open(&scope, NSHM_SECTION, name, (size_t)length, 0, &h)) return 2;
            sum ^= *(volatile char *)h.data;
            nshm_close(&h, 0);
        } else return 1;
    }
    printf("%.0f\n", (now() - start) / (double)n);
    return sum == 77;
}
