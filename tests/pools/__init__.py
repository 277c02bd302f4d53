"""Handles that go through pools, queues and managers, and what arrives when they cannot be opened there."""
