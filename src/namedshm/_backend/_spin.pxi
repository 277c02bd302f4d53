# Part of both compiled backends.

#: Seconds a wait tries before it sleeps, unless told: about what going to sleep and being woken costs (docs/decisions/0007-waiting.md).
SPIN = 0.00001
