"""Windows: its kernel objects.  The twin of this folder is ``linux``, file by file."""
