# Part of both compiled backends.

#: Seconds a wait tries before it sleeps, unless told: about what going to sleep and being woken costs.  See decision 7.
SPIN = 0.00001
