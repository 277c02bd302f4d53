"""Benchmarks against other libraries and bare C: ``python -m benchmarks``, from the root of a checkout.

A benchmark is a module here with a function ``tables(settings)`` that yields ``Table``s (_runner.py); there is no list to add it
to.  Modules whose names begin with an underscore are not benchmarks.  Children are started as ``python -m benchmarks.NAME``, never
by path: a script's own folder is where it looks first for modules, and a queue.py here would stand for the standard library's.
"""
