"""Opens the array of numpy_first.py and doubles it in place: nothing is copied."""

import numpy

import namedshm

with namedshm.open("numbers") as section:
    numbers = numpy.frombuffer(memoryview(section.map()), dtype=numpy.float64)
    numbers *= 2
    print(f"Doubled {numbers.size} numbers of section {section.name!r}.")
