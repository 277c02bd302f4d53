// The first process of Microsoft's page "Creating Named Shared Memory", on Windows: makes memory by name, writes a message, and
// waits for a key.  Nothing of namedshm is in here, and need not be: while it waits, run second.exe or any of the Python examples.
//
//     cl /DUNICODE /D_UNICODE first.cpp                                       (Visual C++)
//     x86_64-w64-mingw32-g++ -municode -DUNICODE -D_UNICODE -static first.cpp -o first.exe
//
// An argument is another name than the page's; creating in Global\ needs SeCreateGlobalPrivilege, so try one without it.
#include <windows.h>

#include <conio.h>
#include <io.h>
#include <stdio.h>
#include <tchar.h>

#define BUF_SIZE 256
static const TCHAR szName[] = TEXT("Global\\MyFileMappingObject");
static const TCHAR szMsg[] = TEXT("Message from first process.");

int _tmain(int argc, TCHAR **argv) {
    HANDLE hMapFile = CreateFileMapping(INVALID_HANDLE_VALUE,          // use paging file
                                        NULL,                          // default security
                                        PAGE_READWRITE,                // read/write access
                                        0,                             // maximum object size (high-order DWORD)
                                        BUF_SIZE,                      // maximum object size (low-order DWORD)
                                        argc > 1 ? argv[1] : szName);  // name of mapping object
    if (hMapFile == NULL) {
        _tprintf(TEXT("Could not create file mapping object (%lu).\n"), GetLastError());
        return 1;
    }

    LPTSTR pBuf = (LPTSTR)MapViewOfFile(hMapFile, FILE_MAP_ALL_ACCESS, 0, 0, BUF_SIZE);
    if (pBuf == NULL) {
        _tprintf(TEXT("Could not map view of file (%lu).\n"), GetLastError());
        CloseHandle(hMapFile);
        return 1;
    }

    CopyMemory((PVOID)pBuf, szMsg, _tcslen(szMsg) * sizeof(TCHAR));  // the terminator is there: new memory is zero

    _tprintf(TEXT("Press a key to end.\n"));
    fflush(stdout);
    if (_isatty(_fileno(stdin)))
        _getch();
    else
        getchar();  // _getch() does not wait when the input is a pipe

    UnmapViewOfFile(pBuf);
    CloseHandle(hMapFile);
    return 0;
}
