"""README.md, docs/ and examples/ are run."""
