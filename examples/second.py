"""The second process: opens the memory by its name and reads the message."""

import namedshm

with namedshm.open("MyFileMappingObject", "read") as section, section.map() as view:
    print(view[:].split(b"\0")[0].decode())
