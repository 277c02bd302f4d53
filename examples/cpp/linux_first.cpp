// The first process in C++ on Linux: makes memory by name and writes a message.  While it waits, run any second program,
// of any language: linux_second, second.py, win32_second.py.
//
//     g++ -I include examples/cpp/linux_first.cpp -o linux_first
#include "namedshm.h"

#include <cstdio>

int main() {
    const char name[] = "MyFileMappingObject", message[] = "Message from first process.";
    nshm_scope local;
    nshm_handle section;
    nshm_scope_init(&local, NSHM_LOCAL, getenv("NAMEDSHM_SESSION"), -1, 1);
    // 0600: this user alone; -1: no group; no properties; NSHM_EXCLUSIVE: a new object or -EEXIST; the rest is for later types
    int error = nshm_create(&local, NSHM_SECTION, name, strlen(name), 256, 0600, -1, 0, NSHM_EXCLUSIVE, 0, nullptr, nullptr, &section);
    if (error) {
        std::fprintf(stderr, "Could not create the section: %s.\n", strerror(-error));
        return 1;
    }
    memcpy(section.data, message, sizeof message);
    std::puts("Press Return to close it.");
    std::fflush(stdout);
    std::getchar();
    nshm_close(&section, 0);
}
