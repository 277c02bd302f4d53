"""The first process of Microsoft's page "Creating Named Shared Memory", line by line.  While it waits, run win32_second.py."""

import sys

from namedshm.win32 import (
    FILE_MAP_ALL_ACCESS,
    INVALID_HANDLE_VALUE,
    PAGE_READWRITE,
    CloseHandle,
    CopyMemory,
    CreateFileMapping,
    GetLastError,
    MapViewOfFile,
    UnmapViewOfFile,
)

BUF_SIZE = 256
szName = "MyFileMappingObject"  # the page: "Global\\MyFileMappingObject"; to create that needs a right, see docs
szMsg = b"Message from first process."


def main() -> int:
    hMapFile = CreateFileMapping(
        INVALID_HANDLE_VALUE,  # use paging file
        None,  # default security
        PAGE_READWRITE,  # read/write access
        0,  # maximum object size (high-order DWORD)
        BUF_SIZE,  # maximum object size (low-order DWORD)
        szName,  # name of mapping object
    )
    if not hMapFile:
        print(f"Could not create file mapping object ({GetLastError()}).")
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

    CopyMemory(pBuf, szMsg, len(szMsg))
    input("Press Return to close it. ")  # _getch()

    UnmapViewOfFile(pBuf)
    CloseHandle(hMapFile)
    return 0


if __name__ == "__main__":
    sys.exit(main())
