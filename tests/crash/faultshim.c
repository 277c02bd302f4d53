/* faultshim.c - faultshim.h as a library for LD_PRELOAD; see there. */
#include "faultshim.h"
