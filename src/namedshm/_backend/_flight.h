/* _flight.h - stands in for the half of "handles in flight" that belongs to namedshm.h.
 *
 * A handle is in flight from before the C call that attaches or drops it gives the GIL away until the Python object owns it
 * again (or no longer has it).  A child forked meanwhile has its attachments, but nobody who knows of them: it drops them. */
#ifndef NAMEDSHM_FLIGHT_H
#define NAMEDSHM_FLIGHT_H
#ifndef nshm_flight_begin
#define nshm_flight_begin(h) ((void)(h))
#define nshm_flight_end(h) ((void)(h))
#endif
#endif
