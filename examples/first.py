"""The first process: makes memory by name and writes a message.  While it waits, run second.py in another terminal."""

import namedshm

MESSAGE = b"Message from first process."

with namedshm.create("MyFileMappingObject", 256) as section, section.map() as view:
    view[: len(MESSAGE)] = MESSAGE
    input("Press Return to close it. ")
