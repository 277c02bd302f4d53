"""Planted bugs: changed copies of the headers, each with what has to catch it.

A mutant is a list of replacements in the headers' text: see helpers/headers.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from .build import changed


@dataclass(frozen=True)
class Mutant:
    name: str
    what: str
    replacements: list[tuple[str, str]]
    caught_by: list[str] = field(default_factory=list)
    """Arguments of `storm` or `step`, the surest first; the first that reports a violation ends the test."""

    def write(self, directory: Path) -> Path:
        """Put the changed headers into the directory, which serves as include path."""
        return changed(directory, self.replacements)


LOCK_HEAD = "static inline int nshm__lock(nshm_registry *t, int wait) {\n"
PEND_HEAD = "static inline void nshm__pend(struct robust_list_head *r, uint32_t *word) {\n"
SECOND_LOOK = (
    "    r = nshm__lookup(p, type, name, n, flags & NSHM_READONLY, NSHM__LOCKED, h, &stale, &stale_nonce);\n    if (r == -EACCES"
)
FILL = "    if (fill && (r = fill(h, context))) {\n"
PUBLISH = "    nshm__publish(p->registry, (uint32_t)slot, h, type, h->nonce, name, n);\n"
MARK_THEN_NONCE = "__atomic_load_n(&now->closing, __ATOMIC_ACQUIRE) || __atomic_load_n(&now->nonce, __ATOMIC_ACQUIRE) != f->nonce"
NONCE_THEN_MARK = "__atomic_load_n(&now->nonce, __ATOMIC_ACQUIRE) != f->nonce || __atomic_load_n(&now->closing, __ATOMIC_ACQUIRE)"

# Elsewhere: records that are believed unseen (tests/fuzz), and a hash that is stored after the nonce (model.py: that takes a kill
# between the two stores while an opener stands between two loads).
# Not here, because nothing can show them: writing a record's nonce before its other fields, or copying a record without
# comparing the nonce again.  A torn copy mixes two objects' facts, and the kernel's answers (creator, exact sizes, mark) refuse
# every mix but one of the permission bits; the object is found at the next look.  Closing data before token, too, is only less
# tidy: who comes in between finds the data gone.
MUTANTS = [
    Mutant(
        "no_lock",
        "creators do not exclude each other",
        [(LOCK_HEAD, LOCK_HEAD + "    if (t || wait) return 0;\n")],
        ["step cross create 40 2", "storm 150"],
    ),
    Mutant(
        "no_second_look",
        "create-or-open believes its look before the lock",
        [(SECOND_LOOK, "    if (!(flags & NSHM_EXCLUSIVE)) stale = -1, r = -ENOENT;\n    else\n" + SECOND_LOOK)],
        ["step pause create 1000", "storm 150"],
    ),
    Mutant(
        "publish_before_filling",
        "an object is found before its creator has filled it",
        [
            (FILL, PUBLISH + FILL),
            (PUBLISH + "    h->slot", "    h->slot"),
        ],
        ["step pause create 12", "storm 150"],
    ),
    Mutant(
        "trust_the_index",
        "an entry is believed without asking the kernel for its token",
        [
            (
                "    if (!token) {\n        e = errno;\n        if (nshm__gone(e))",
                "    if (0) {\n        e = errno;\n        if (nshm__gone(e))",
            ),
            ("    if ((e = nshm__is(s, f->token, f->token_size, f->maker, 1, &made)) <= 0) {", "    if ((made = f->born, 0)) {"),
        ],
        ["storm 300"],
    ),
    Mutant(
        "tidy_without_comparing",
        "a dead entry's slot is freed without looking who has it by now",
        [
            (" || __atomic_load_n(&t->record[slot].nonce, __ATOMIC_RELAXED) != nonce) return;", ") return;"),
            (
                "    if (t->record[slot].nonce == nonce && nshm__here(p) == 1 && "
                "nshm__lives(p->scope, &t->record[slot]) == 0) nshm__free(t, slot);\n",
                "    (void)nonce;\n    nshm__free(t, slot);\n",
            ),
        ],
        ["step pause open_a_dead_entry 40", "storm 150"],
    ),
    Mutant(
        "data_not_removed",
        "the data segment is not marked for removal",
        [
            (
                "    if ((e = nshm__finish_segment(*id, mode, group))) {",
                "    if (!neighbour && (e = nshm__finish_segment(*id, mode, group))) {",
            )
        ],
        ["storm 20"],
    ),
    Mutant(
        "lock_not_announced",
        "the kernel is not told of the lock, so it cannot give it up",
        [(PEND_HEAD, PEND_HEAD + "    if (word || !word) return;\n")],
        ["step kill create 1000", "storm 150"],
    ),
    Mutant(
        "registry_without_second_scan",
        "whoever makes a registry does not look again for others who did",
        [
            (
                "                if ((r = nshm__scan(s, own.token_id, writable, &f)) || f.registry) break;",
                "                memset(&f, 0, sizeof f), r = 0;",
            )
        ],
        ["step pause create_in_a_new_world 40", "storm 300"],
    ),
    Mutant(
        "segments_without_a_key",
        "what a killed creator leaves cannot be found again",
        [("    key_t key = (key_t)(p->registry->key | 1);\n", "    key_t key = IPC_PRIVATE;\n")],
        ["step kill create 1000"],
    ),
    Mutant(
        "only_unattached_leftovers",
        "a dying creator's segment is taken for a stranger's (a bug of the first version)",
        [
            (
                "if (seen == 0 && d.shm_perm.cuid == p->scope->uid &&",
                "if (seen == 0 && !d.shm_nattch && d.shm_perm.cuid == p->scope->uid &&",
            )
        ],
        ["step kill create_and_die_slowly 1000"],
    ),
    Mutant(
        "candidate_touched_too_early",
        "a registry in the making gets a page before it is marked for removal (a bug of the first version)",
        [
            (
                '    NSHM_STEP("registry-attached");\n',
                '    NSHM_STEP("registry-attached");\n    t->session = s->session;\n',
            )
        ],
        ["step kill create_in_a_new_world 1"],
    ),
    Mutant(
        "sweep_of_the_living",
        "the table's sweep takes living objects for dead",
        [("            if (nshm__lives(s, &t->record[i]) == 0) nshm__free(t, i);", "            if (s) nshm__free(t, i);")],
        ["step pause create_with_a_sweep 100000 400"],
    ),
    Mutant(
        "closing_not_marked",
        "the last closer keeps the token without a mark that openers see",
        [("        __atomic_store_n(&rec->closing, NSHM__ASKING, __ATOMIC_SEQ_CST);\n", "")],
        ["step cross close_the_last_handle 20", "storm 300"],
    ),
    Mutant(
        "nonce_before_the_mark",
        "the opener looks at nonce and mark in the wrong order (a bug of an earlier version)",
        [(MARK_THEN_NONCE, NONCE_THEN_MARK)],
        ["step cross close_keeping_the_view 1 1 open"],
    ),
    Mutant(
        "kept_though_others_hold",
        "the closer keeps the token without asking whether it is the last",
        [
            (
                "        if (nshm__alone(h->token_id, h->token_size)) {\n            nshm__free",
                "        if (1) {\n            nshm__free",
            )
        ],
        ["step kill close_while_a_child_holds 100", "storm 150"],
    ),
    Mutant(
        "shared_token_used_again",
        "a kept token is used again though a fork has it too",
        [("    if (!nshm__alone(spare.id, spare.size)", "    if (0")],
        ["step pause create_and_keep_the_view_with_a_shared_spare 1000"],
    ),
    Mutant(
        "segments_of_any_kind",
        "a record's segment is taken without comparing creator, size and mark",
        [
            (
                "    if (d.shm_segsz != size || !(d.shm_perm.mode & SHM_DEST)) return 0;\n",
                "    if (size > (size_t)-2) return 0;\n",
            )
        ],
        ["garbage 300 1"],
    ),
    Mutant(
        "slots_without_end",
        "the number of used slots is believed",
        [("    return n <= NSHM_CAPACITY ? n : NSHM_CAPACITY;", "    return n;")],
        ["garbage 300 1"],
    ),
    Mutant(
        "names_without_end",
        "the length of a name is believed",
        [(" && facts->nonce == n && facts->length <= NSHM_NAME_MAX;", " && facts->nonce == n;")],
        ["garbage 600 1"],
    ),
    Mutant(
        "a_stopped_rival_is_waited_for",
        "the maker of a registry waits without end for another that was stopped (a bug of the first version)",
        [
            (
                "            for (r = -ETIMEDOUT; round < NSHM_REGISTRY_ROUNDS; round++, nshm__step_aside()",
                "            for (r = -ETIMEDOUT;; round++, nshm__step_aside()",
            )
        ],
        ["stopped"],
    ),
    Mutant(
        "death_guessed",
        "an error that says nothing is taken for death",
        [
            (
                "static inline int nshm__gone(int e) { return e == EINVAL || e == EIDRM; }",
                "static inline int nshm__gone(int e) { return e != 0; }",
            )
        ],
        ["observed"],
    ),
    Mutant(
        "death_guessed_from_the_table",
        "a look at the table that is refused is taken for death",
        [("        if (found < 0 && !nshm__gone(errno)) return nshm__unsure(errno);\n", "")],
        ["observed"],
    ),
    Mutant(
        "the_unknown_is_dead",
        "what could not be told is taken for dead",
        [("    if (errno != EACCES) return nshm__unsure(errno);\n    for", "    if (errno != EACCES) return -ENOENT;\n    for")],
        ["observed"],
    ),
    Mutant(
        "the_registry_is_not_asked_for",
        "a process believes that its registry is where it is",
        [
            (
                "    if (!shmctl(p->id, IPC_STAT, &d)) return d.shm_segsz ==",
                "    if (p) return 1;\n    if (!shmctl(p->id, IPC_STAT, &d)) return d.shm_segsz ==",
            )
        ],
        ["away"],
    ),
    Mutant(
        "rights_for_all_at_first",
        "a segment can be attached by strangers until its rights are set",
        [("IPC_CREAT | IPC_EXCL | extra | 0600 | NSHM_MARK", "IPC_CREAT | IPC_EXCL | extra | 0666 | NSHM_MARK")],
        ["strangers"],
    ),
    Mutant(
        "made_in_the_makers_group",
        "a segment for a group is made in its maker's own group, which the kernel lets in for good",
        [(" && !syscall(SYS_setresgid, (gid_t)-1, (gid_t)group, own)) {", ") {")],
        ["strangers"],
    ),
    Mutant(
        "fork_does_not_wait",
        "a process forks while attachments are on their way",
        [
            ("    if (!nshm__inside) pthread_mutex_lock(&nshm__guard);\n", ""),
            ("    if (!nshm__inside) pthread_mutex_unlock(&nshm__guard);\n", "    nshm__inside = 0;\n"),
        ],
        ["forks 2000"],
    ),
    Mutant(
        "the_child_keeps_what_is_in_flight",
        "a child keeps handles of threads that it does not have",
        [("    for (nshm_handle *h = nshm__flying; h; h = h->flight) nshm__drop(h);\n", "")],
        ["forks 2000"],
    ),
    Mutant(
        "the_child_keeps_the_spare",
        "a child keeps its parent's spare token",
        [
            (
                "        nshm__detach(p->spare.at, p->spare.size);\n        p->spare.at = NULL;\n    }\n    nshm__after_fork",
                "    }\n    nshm__after_fork",
            )
        ],
        ["forks 2000"],
    ),
    Mutant(
        "leaving_not_marked",
        "a name is given to another object while openers are still led to the one before",
        [("            __atomic_store_n(&t->record[old.slot].closing, NSHM__LEAVING, __ATOMIC_SEQ_CST);\n", "")],
        ["step kill replace 5"],
    ),
    Mutant(
        "moves_not_told",
        "who has passed the slot that a name moves to takes it for gone",
        [("            __atomic_store_n(&t->moves, t->moves + 1, __ATOMIC_RELEASE);", "            (void)0;")],
        ["step cross replace_from_a_slot_before 40 1 open"],
    ),
    Mutant(
        "freed_before_the_successor_is_there",
        "a name is free for an instant while it goes over",
        [
            (
                "        nshm__publish(t, (uint32_t)slot, h, h->type, h->nonce, name, n);\n        h->slot",
                "        if (!found) nshm__free(t, old.slot);\n"
                "        nshm__publish(t, (uint32_t)slot, h, h->type, h->nonce, name, n);\n        h->slot",
            )
        ],
        ["step pause replace 1000"],
    ),
]
