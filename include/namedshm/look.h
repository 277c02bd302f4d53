/* namedshm/look.h - what objects there are, and what the kernel has that looks like a registry.
 *
 * Owns:   looking changes nothing.  Objects are not even attached.
 * Needs:  registry.h, slots.h.
 */
#ifndef NAMEDSHM_PART_LOOK_H
#define NAMEDSHM_PART_LOOK_H
#include "registry.h"
#include "slots.h"

static inline int nshm_next(nshm_scope *s, uint32_t *cursor, nshm_info *info) {
    struct shmid_ds d;
    nshm_place *p;
    int r = nshm__enter();
    if (r) return r;
    if ((r = nshm__registry(s, 0, &p))) goto out;
    r = -ENOENT;
    for (; *cursor < nshm__used(p->registry); ++*cursor) {
        const nshm_record *rec = &p->registry->record[*cursor];
        if (!__atomic_load_n(&p->registry->hash[*cursor], __ATOMIC_ACQUIRE) || !nshm__copy(rec, &info->record)) continue;
        nshm__get(info->record.name, rec->name, info->record.length);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (__atomic_load_n(&rec->nonce, __ATOMIC_RELAXED) != info->record.nonce || !nshm__sound(&info->record)) continue;
        int lives = nshm__lives(s, &info->record);
        if (!lives) continue;
        ++*cursor;
        r = lives < 0 ? lives : nshm__facts(info->record.token, &d);
        if (r == -ENOENT) {
            --*cursor; /* it has gone just now */
            continue;
        }
        info->maker = d.shm_perm.cuid;
        info->handles = (uint32_t)d.shm_nattch;
        info->mappings = 0;
        if (!r && info->record.data >= 0 && !nshm__facts(info->record.data, &d)) info->mappings = (uint32_t)d.shm_nattch;
        break;
    }
out:
    nshm__exit();
    return r;
}

static inline int nshm_next_registry(int *cursor, nshm_registry_facts *facts) {
    struct shminfo info;
    struct shmid_ds d;
    int max = shmctl(0, IPC_INFO, (struct shmid_ds *)&info);
    if (max < 0) return -errno;
    while (*cursor <= max) {
        int id = shmctl((*cursor)++, SHM_STAT_ANY, &d);
        if (id < 0) {
            if (nshm__gone(errno)) continue;
            return nshm__unsure(errno);
        }
        if (!nshm__registry_sized(d.shm_segsz) || !(d.shm_perm.mode & NSHM_MARK) || !(d.shm_perm.mode & SHM_DEST) || !d.shm_nattch) continue;
        memset(facts, 0, sizeof *facts);
        facts->id = id;
        facts->cuid = d.shm_perm.cuid;
        facts->gid = d.shm_perm.gid;
        facts->mode = d.shm_perm.mode & 0777;
        facts->cpid = d.shm_cpid;
        facts->attached = d.shm_nattch;
        size_t size = d.shm_segsz;
        nshm_registry *t = (nshm_registry *)nshm__attach(id, 1);
        if (!t) return 0;
        if (!shmctl(id, IPC_STAT, &d)) { /* ask after attaching: so the answer is about what we read */
            if (d.shm_segsz == size && d.shm_perm.cuid == facts->cuid && __atomic_load_n(&t->magic, __ATOMIC_ACQUIRE) == NSHM_MAGIC) {
                facts->version = t->version;
                facts->session = t->session;
            }
            size = d.shm_segsz;
        }
        nshm__detach(t, size);
        return 0;
    }
    return -ENOENT;
}
#endif
