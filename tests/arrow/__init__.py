"""Arrow tables by name."""
