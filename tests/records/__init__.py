"""Records: a few named values, always consistent."""
