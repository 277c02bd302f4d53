"""Parts of the package on their own, and the whole of it at its limits."""
