"""How what this package has goes to other processes by name.

openings.py         what unpickling opens, once for each object and process
unavailable.py      what unpickling gives where nothing can be opened: the error comes at the first use
arrays_by_name.py   arrays of NumPy's own classes that lie in a section; teaches the picklers of multiprocessing and loky
behind.py           in whose memory an array lies
when_imported.py    changes to modules of others, made when, and if, they are imported
"""
