"""The second process of Microsoft's page "Creating Named Shared Memory", line by line.  Run it while win32_first.py waits."""

import sys

from namedshm.win32 import (
    FILE_MAP_ALL_ACCESS,
    CloseHandle,
    GetLastError,
    MapViewOfFile,
    OpenFileMapping,
    UnmapViewOfFile,
)

BUF_SIZE = 256
szName = "MyFileMappingObject"


def main() -> int:
    hMapFile = OpenFileMapping(
        FILE_MAP_ALL_ACCESS,  # read/write access
        False,  # do not inherit the name
        szName,  # name of mapping object
    )
    if not hMapFile:
        print(f"Could not open file mapping object ({GetLastError()}).")
        return 1

    pBuf = MapViewOfFile(
        hMapFile,  # handle to map object
        FILE_MAP_ALL_ACCESS,  # read/write permission
        0,
        0,
        BUF_SIZE,
    )
    if pBuf is None:
        print(f"Could not map view of file ({GetLastError()}).")
        CloseHandle(hMapFile)
        return 1

    print(pBuf[:BUF_SIZE].split(b"\0")[0].decode())  # MessageBox(NULL, pBuf, TEXT("Process2"), MB_OK)

    UnmapViewOfFile(pBuf)
    CloseHandle(hMapFile)
    return 0


if __name__ == "__main__":
    sys.exit(main())
