"""python -m benchmarks [NAME ...]"""

from ._runner import main

if __name__ == "__main__":  # a spawned child imports this file, too
    main()
