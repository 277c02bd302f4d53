"""What the bytes in a section mean.  The formats know no names, open nothing, and know nothing of sections or systems.

    publication.py    the first eight bytes are stored last, so content appears whole
    npy.py            the header of a ``.npy`` file
    array_layout.py   what such a header says of an array; needs NumPy
    record_slots.py   the two versions of a record, and its fields
    arrow_ipc.py      an Arrow file: laid out, and checked before it is opened
    object_frame.py   a Python object as a message of a queue
    messages.py       what a message is, told by its first bytes

They take a mapping, a buffer or plain bytes.  What is wrong with these is a ValueError whose text is the reason; the caller, who
knows the name, makes an error of ``namedshm.errors`` of it.
"""
