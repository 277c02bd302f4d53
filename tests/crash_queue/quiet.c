/* quiet.c - uncontended operations make no system call: in a process that the kernel would kill at the first one.
 *
 *   quiet NAME    one kind of operations, many times
 *   quiet list    their names
 */
#include "queues.h"
#include <linux/filter.h>
#include <linux/seccomp.h>

enum { ROUNDS = 20000, NOT_HERE = 77 };
static nshm_queue q;
static nshm_queue_window w;
static char buffer[4096];

static int put_and_take(void) {
    return nshm_queue_put(&q, buffer, 16, INT64_MAX) || nshm_queue_take(&q, buffer, 16, &w, INT64_MAX) || nshm_queue_release(&q, &w);
}
static int put_and_take_many(void) {
    const void *from[8];
    uint64_t lengths[8];
    nshm_queue_window windows[8];
    for (int i = 0; i < 8; i++) from[i] = buffer, lengths[i] = 16;
    return nshm_queue_put_many(&q, from, lengths, 8, INT64_MAX) != 8 || nshm_queue_take_many(&q, buffer, 4096, windows, 8, INT64_MAX) != 8;
}
static int put_and_take_large(void) {
    return nshm_queue_put(&q, buffer, 2000, INT64_MAX) || nshm_queue_take(&q, buffer, 16, &w, INT64_MAX) || nshm_queue_release(&q, &w);
}
static int loan_and_commit(void) {
    if (nshm_queue_loan(&q, &w, INT64_MAX)) return 1;
    memset(w.data, 1, 100);
    return nshm_queue_commit(&q, &w, 100, INT64_MAX) || nshm_queue_take(&q, buffer, 16, &w, INT64_MAX) || nshm_queue_release(&q, &w);
}
static int loan_and_abandon(void) { return nshm_queue_loan(&q, &w, INT64_MAX) || nshm_queue_abandon(&q, &w); }
static int nothing_there(void) { return nshm_queue_take(&q, buffer, 16, &w, 0) != -EAGAIN; }
static int no_room(void) {
    while (!nshm_queue_put(&q, buffer, 16, 0)) {}
    return nshm_queue_put(&q, buffer, 16, 0) != -EAGAIN;
}
static int look(void) {
    nshm_queue_statistics s;
    nshm_queue_stat(&q, &s);
    return s.waiting != nshm_queue_count(&q);
}

static const struct {
    const char *name;
    int (*operate)(void);
    uint32_t mode;
} kinds[] = {
    {"put_and_take", put_and_take, 0},
    {"put_and_take_many", put_and_take_many, 0},
    {"put_and_take_large", put_and_take_large, 0},
    {"put_and_acknowledge", put_and_take, NSHM_QUEUE_ACK},
    {"loan_and_commit", loan_and_commit, 0},
    {"loan_and_abandon", loan_and_abandon, 0},
    {"nothing_there", nothing_there, 0},
    {"no_room", no_room, 0},
    {"drop_oldest", put_and_take, NSHM_QUEUE_DROP_OLDEST},
    {"look", look, 0},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

/* Not the kernel's strict mode: that takes away the processor's clock as well, which needs no system call. */
static int allow_nothing_but_exit(void) {
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "";
    int wrong = 0, list = !strcmp(name, "list"), k = 0;
    for (; k < KINDS && strcmp(name, kinds[k].name); k++)
        if (list) puts(kinds[k].name);
    if (k == KINDS) return list ? 0 : BROKEN;
    begin_scope("quiet");
    start = starting(16, 16, 4, kinds[k].mode, 2000);
    make_queue(&q);
    if (kinds[k].operate()) broken("the first time"); /* it takes part from then on */
    if (allow_nothing_but_exit()) return NOT_HERE;
    for (int i = 0; i < ROUNDS; i++) wrong |= kinds[k].operate();
    syscall(SYS_exit, wrong);
}
