"""Read a message box of another program and press its OK: ``press.py TITLE`` prints the text."""

from __future__ import annotations

import ctypes
import sys
import time
from ctypes import wintypes

assert sys.platform == "win32"

PATIENCE = 60.0  # seconds
WM_COMMAND, IDOK, THE_TEXT = 0x111, 1, 0xFFFF


def main() -> None:
    user32 = ctypes.WinDLL("user32", use_last_error=True)
    user32.FindWindowW.restype = wintypes.HWND
    user32.FindWindowW.argtypes = (wintypes.LPCWSTR, wintypes.LPCWSTR)
    user32.GetDlgItemTextW.argtypes = (wintypes.HWND, ctypes.c_int, wintypes.LPWSTR, ctypes.c_int)
    user32.PostMessageW.argtypes = (wintypes.HWND, wintypes.UINT, wintypes.WPARAM, wintypes.LPARAM)
    deadline = time.monotonic() + PATIENCE
    text = ctypes.create_unicode_buffer(300)
    while time.monotonic() < deadline:  # a box tells nobody that it is there, so it has to be looked for
        box = user32.FindWindowW(None, sys.argv[1])
        if box and user32.GetDlgItemTextW(box, THE_TEXT, text, len(text)):
            print(text.value)
            user32.PostMessageW(box, WM_COMMAND, IDOK, 0)
            return
        time.sleep(0.02)
    sys.exit(f"no message box {sys.argv[1]!r} in {PATIENCE} s")


if __name__ == "__main__":
    main()
