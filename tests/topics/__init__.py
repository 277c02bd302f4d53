"""Topics of Python: what is read is whole, what was overtaken says so, and nobody waits for a reader."""
