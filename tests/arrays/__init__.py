"""NumPy arrays by name."""
