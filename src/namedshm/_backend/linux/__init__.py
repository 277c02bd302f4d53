"""Linux: System V shared memory, futexes and robust lists.  The twin of this folder is ``windows``, file by file."""
