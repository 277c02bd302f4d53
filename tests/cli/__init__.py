"""The command line, always as a real process."""
