"""A NumPy array in named memory.  While it waits, run numpy_second.py or cpp/linux_sum.cpp, which change and read it."""

import numpy

import namedshm

COUNT = 1_000_000

with namedshm.create("numbers", COUNT * 8) as section:
    numbers = numpy.frombuffer(memoryview(section.map()), dtype=numpy.float64)
    numbers[:] = 0.5
    input(f"{COUNT} numbers, their sum is {numbers.sum()}. Press Return to see the sum again. ")
# the handle is closed and the name gone; the array keeps its memory
print(f"Now the sum is {numbers.sum()}.")
