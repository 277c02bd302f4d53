// The second process of Microsoft's page "Creating Named Shared Memory", on Windows: opens the memory by its name and shows the
// message in a box.  Run it while first.exe waits, or win32_first.py with a message in wide characters.
//
//     cl /DUNICODE /D_UNICODE second.cpp user32.lib                           (Visual C++)
//     x86_64-w64-mingw32-g++ -municode -DUNICODE -D_UNICODE -static second.cpp -o second.exe
//
// An argument is another name than the page's; with --print in front the message goes to standard output instead of a box.
#include <windows.h>

#include <stdio.h>
#include <tchar.h>

#define BUF_SIZE 256
static const TCHAR szName[] = TEXT("Global\\MyFileMappingObject");

int _tmain(int argc, TCHAR **argv) {
    const bool print = argc > 1 && _tcscmp(argv[1], TEXT("--print")) == 0;
    const TCHAR *name = argc > 1 + print ? argv[1 + print] : szName;

    HANDLE hMapFile = OpenFileMapping(FILE_MAP_ALL_ACCESS,  // read/write access
                                      FALSE,                // do not inherit the name
                                      name);                // name of mapping object
    if (hMapFile == NULL) {
        _tprintf(TEXT("Could not open file mapping object (%lu).\n"), GetLastError());
        return 1;
    }

    LPTSTR pBuf = (LPTSTR)MapViewOfFile(hMapFile, FILE_MAP_ALL_ACCESS, 0, 0, BUF_SIZE);
    if (pBuf == NULL) {
        _tprintf(TEXT("Could not map view of file (%lu).\n"), GetLastError());
        CloseHandle(hMapFile);
        return 1;
    }

    if (print)
        _tprintf(TEXT("%.*ls\n"), (int)(BUF_SIZE / sizeof(TCHAR)), pBuf);
    else
        MessageBox(NULL, pBuf, TEXT("Process2"), MB_OK);

    UnmapViewOfFile(pBuf);
    CloseHandle(hMapFile);
    return 0;
}
