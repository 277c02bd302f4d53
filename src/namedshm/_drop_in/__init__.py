"""What stands behind ``namedshm.shared_memory`` and ``namedshm.managers``.

blocks.py       SharedMemory
lists.py        ShareableList
kept.py         names that a process keeps for blocks until somebody unlinks them, or it ends
installing.py   install(): libraries that nobody can edit get these
"""
