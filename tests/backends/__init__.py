"""Tests of one backend or the other, beside the conformance suite that runs on each."""
