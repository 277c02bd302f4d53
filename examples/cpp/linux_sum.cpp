// Sums the NumPy array that numpy_first.py holds as section "numbers": C++ reads what Python made, in place.
//
//     g++ -I include examples/cpp/linux_sum.cpp -o linux_sum
#include "namedshm.h"

#include <cstdio>
#include <numeric>

int main() {
    const char name[] = "numbers";
    nshm_scope local;
    nshm_handle section;
    nshm_scope_init(&local, NSHM_LOCAL, getenv("NAMEDSHM_SESSION"), -1, 1);
    int error = nshm_open(&local, NSHM_SECTION, name, strlen(name), NSHM_READONLY, &section);
    if (error) {
        std::fprintf(stderr, "Could not open the section: %s.\n", strerror(-error));
        return 1;
    }
    const double *first = static_cast<const double *>(section.data), *last = first + section.size / sizeof(double);
    std::printf("C++ sums %td numbers: %.1f\n", last - first, std::accumulate(first, last, 0.0));
    nshm_close(&section, 0);
}
