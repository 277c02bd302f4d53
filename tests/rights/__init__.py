"""What users may do to each other's objects, with real second users: the kernel decides, and these tests ask it."""
