"""Tests of the Windows backend: they run on Windows, and under Wine by ``python tools/windows.py test tests/wine``."""
