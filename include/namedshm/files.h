/* namedshm/files.h - where the file of a file-backed section is.
 *
 * The token of a NSHM_OBJ_FILE section begins with a text that says where the file is (docs/format-linux.md), ended by 0.
 *
 * Owns:   whoever follows such a text opens a file with his own rights, so it must have been written by his own user.  A record does
 *         not prove that: every member of the creating group writes the Global registry, and can let a record lead to any segment.
 *         The kernel's facts of the segment do: its creator, which nobody can change, is this user; nobody else could ever write
 *         it; and its mode, which no other segment has, says that it is such a text, not some data of this user's that repeats
 *         what others said.
 * Needs:  types.h.
 */
#ifndef NAMEDSHM_PART_FILES_H
#define NAMEDSHM_PART_FILES_H
#include "types.h"

static inline int nshm_write_location(nshm_handle *h, const char *text, size_t n) {
    memcpy(h->token, text, n);
    ((char *)h->token)[n] = 0;
    return 0;
}
static inline int nshm_location(const nshm_handle *h, const char **text, size_t *n) {
    struct shmid_ds d;
    if (!h->token) return -EBADF;
    if (shmctl(h->token_id, IPC_STAT, &d)) return -errno;
    if (d.shm_perm.cuid != geteuid() || d.shm_perm.uid != d.shm_perm.cuid) return -EPERM;
    if ((d.shm_perm.mode & 0777) != NSHM_FILE_MODE || !(d.shm_perm.mode & SHM_DEST)) return -EUCLEAN;
    *text = (const char *)h->token;
    *n = strnlen(*text, d.shm_segsz < h->token_size ? d.shm_segsz : h->token_size);
    return *n < h->token_size ? 0 : -EUCLEAN;
}
#endif
