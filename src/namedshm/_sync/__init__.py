"""The objects of sync.py.

objects.py: mutexes, events and semaphores of the backend, and waits on several.  rwlock.py and condition.py: what is made of these
and of a record; composed.py and seats.py: what those two share.
"""
