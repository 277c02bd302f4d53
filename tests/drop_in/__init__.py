"""namedshm.shared_memory and namedshm.managers against multiprocessing's own, and what is promised beyond it."""
