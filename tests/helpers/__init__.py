"""What the suites share: real processes steered line by line (peer), the two spellings of the API, facts about this system.

Standard library only, because the conformance suite also runs under a Windows Python that has nothing else.
"""
