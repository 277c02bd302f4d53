"""Bulk copying: copy(), populated and huge pages."""
