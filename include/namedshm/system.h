/* namedshm/system.h - what the parts need of Linux and of the compiler.
 *
 * Owns:   nothing.
 * Needs:  common.h.
 */
#ifndef NAMEDSHM_PART_SYSTEM_H
#define NAMEDSHM_PART_SYSTEM_H

#ifdef _WIN32
#error "namedshm.h is for Linux; on Windows use CreateFileMappingW and its relatives: the objects are the same.  namedshm_queue.h is for both."
#endif
#include "common.h"
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#if UINTPTR_MAX < UINT64_MAX
#error "namedshm needs a 64-bit system: struct shmid_ds and the registry layout assume it."
#endif
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef SHM_STAT_ANY
#define SHM_STAT_ANY 15
#endif
#ifndef SHM_DEST
#define SHM_DEST 01000
#endif
#ifndef NS_GET_USERNS
#define NS_GET_USERNS _IO(0xb7, 0x1)
#endif
#endif
