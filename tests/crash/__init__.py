"""The evidence for the Linux protocol: storms, kills at every instruction, faults, garbage; and mutants that must be caught."""
