/* namedshm/sync_robust.h - the kernel's list of what this thread owns, which it goes through when the thread dies.
 *
 * Owns:   at most one thread of this process has the node behind an attachment in its list (nshm__private.holder).
 *         The list is linked as the C libraries link it, so that their robust mutexes can be neighbours: `prev` holds the address of
 *         the link that leads to a node, and stands before its `next`; the lowest bit of a link marks a priority-inheriting mutex
 *         (theirs only).  A kill may come between any two stores: the kernel follows `next` only, and that is whole at each.
 *         All of it is private memory, unless the program has put robust mutexes of the C library where others write.
 * Needs:  attachments.h, sync_thread.h.
 */
#ifndef NAMEDSHM_PART_SYNC_ROBUST_H
#define NAMEDSHM_PART_SYNC_ROBUST_H
#include "attachments.h"
#include "sync_thread.h"

typedef struct {
    struct robust_list *prev, *next;
} __attribute__((packed, aligned(4))) nshm__links; /* with musl's offset they are not at a multiple of 8 */

static inline nshm__links *nshm__links_of(uint32_t *word) { return (nshm__links *)((char *)word - nshm__me.head->futex_offset - 8); }
static inline nshm__links *nshm__links_at(struct robust_list *p) { return (nshm__links *)(((uintptr_t)p & ~(uintptr_t)1) - 8); }
/* Do the links of this word lie in the page behind, where there is room for them?  That depends on the C library. */
static inline int nshm__linkable(const uint32_t *word) {
    long at = (long)((uintptr_t)word & 4095) - nshm__me.head->futex_offset - 8 - 4096;
    return at >= 0 && at + (long)sizeof(nshm__links) <= (long)offsetof(nshm__private, holder);
}
static inline void nshm__link(uint32_t *word) { /* at the front */
    struct robust_list *front = &nshm__me.head->list, *first = front->next;
    nshm__links *ours = nshm__links_of(word);
    struct robust_list *node = (struct robust_list *)((char *)ours + 8);
    ours->prev = front;
    ours->next = first;
    if (first != front) nshm__links_at(first)->prev = node;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    *(struct robust_list *volatile *)&front->next = node;
}
static inline void nshm__unlink(uint32_t *word) {
    nshm__links *ours = nshm__links_of(word);
    struct robust_list *prev = ours->prev, *next = ours->next;
    if (prev == &nshm__me.head->list) *(struct robust_list *volatile *)&prev->next = next;
    else ((volatile nshm__links *)nshm__links_at(prev))->next = next;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    if (next != &nshm__me.head->list) nshm__links_at(next)->prev = prev;
}

/* May this node be in a list still?  `holder`: as read from the page.  No, if that thread is gone, if the kernel is done with
 * its list (it clears the list's head then), or if another thread has its number by now. */
static inline int nshm__in_use(const nshm__private *p, uint32_t holder) {
    struct robust_list_head *head = NULL;
    size_t n;
    if (!holder || (holder & NSHM__CLAIMING)) return holder != 0;
    return !syscall(SYS_get_robust_list, holder & FUTEX_TID_MASK, &head, &n) && head == p->head;
}
/* Make the node ours: 1.  0: another thread of this process has it, though the mutex was free.  That can be so for an instant,
 * while the kernel goes through a dying owner's list; otherwise somebody wrote over the word. */
static inline int nshm__claim(nshm_words *w) {
    nshm__private *p = nshm__behind(w);
    uint32_t holder = __atomic_load_n(&p->holder, __ATOMIC_ACQUIRE);
    do {
        if (nshm__in_use(p, holder)) return 0;
    } while (!__atomic_compare_exchange_n(&p->holder, &holder, nshm__me.tid | NSHM__CLAIMING, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
    p->head = nshm__me.head;
    __atomic_store_n(&p->holder, nshm__me.tid, __ATOMIC_RELEASE);
    return 1;
}
/* Give the node up.  If the handle was closed meanwhile, its attachment was left to us, and we unmap it.  `in_operation`: this
 * is an operation on that handle, so nobody closes it, and nobody else changes `holder` while the node is ours. */
static inline void nshm__unclaim(nshm_words *w, int in_operation) {
    if (in_operation) __atomic_store_n(&nshm__behind(w)->holder, 0, __ATOMIC_RELEASE);
    else if (__atomic_exchange_n(&nshm__behind(w)->holder, 0, __ATOMIC_ACQ_REL) & NSHM__KEPT) munmap(w, nshm__span(NSHM_MUTEX, NSHM_WORDS_SIZE, 0));
}
#endif
