// The second process in C++ on Linux: opens the memory by its name and prints the message, whoever wrote it.
//
//     g++ -I include examples/cpp/linux_second.cpp -o linux_second
#include "namedshm.h"

#include <cstdio>

int main() {
    const char name[] = "MyFileMappingObject";
    nshm_scope local;
    nshm_handle section;
    nshm_scope_init(&local, NSHM_LOCAL, getenv("NAMEDSHM_SESSION"), -1, 1);
    int error = nshm_open(&local, NSHM_SECTION, name, strlen(name), NSHM_READONLY, &section);
    if (error) {
        std::fprintf(stderr, "Could not open the section: %s.\n", strerror(-error));
        return 1;
    }
    std::printf("%.*s\n", static_cast<int>(section.size), static_cast<const char *>(section.data));
    nshm_close(&section, 0);
}
