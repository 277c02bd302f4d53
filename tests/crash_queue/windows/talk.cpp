// talk.cpp - a queue of C++ for Python to open: talk NAME makes it, puts a message, and waits for the answer, which it prints.
#include "namedshm_queue.h"
#include <cstdio>

int main(int argc, char **argv) {
    nshm_scope local;
    nshm_queue asked, answered;
    nshm_queue_window answer;
    nshm_queue_start start = {16, 64, 4, 8, NSHM_QUEUE_ACK, 100000};
    if (argc < 3) return 1;
    nshm_scope_init(&local, NSHM_LOCAL, nullptr, -1, 1);
    if (nshm_queue_create(&local, argv[1], strlen(argv[1]), 0600, -1, NSHM_EXCLUSIVE, &start, &asked)) return 2;
    if (nshm_queue_create(&local, argv[2], strlen(argv[2]), 0600, -1, NSHM_EXCLUSIVE, &start, &answered)) return 3;
    if (nshm_queue_put(&asked, "from C++", 8, 0)) return 4;
    std::puts("ready");
    std::fflush(stdout);
    if (nshm_queue_take(&answered, nullptr, 0, &answer, nshm_now() + 60000000000)) return 5;
    std::printf("%.*s\n", static_cast<int>(answer.length), static_cast<char *>(answer.data));
    if (nshm_queue_release(&answered, &answer)) return 6;
    nshm_queue_close(&asked);
    nshm_queue_close(&answered);
}
