/* quiet.c - publishing and reading make no system call while nobody sleeps: in a process that the kernel would kill at the first one.
 *
 *   quiet NAME    one kind of operations, many times
 *   quiet list    their names
 */
#include "topics.h"
#include <linux/filter.h>
#include <linux/seccomp.h>

enum { ROUNDS = 20000, NOT_HERE = 77 };
static nshm_topic t, reader;
static nshm_topic_window w;
static char buffer[4096];

static int publish_and_read(void) {
    return nshm_topic_publish(&t, buffer, 16, INT64_MAX, NULL) || nshm_topic_latest(&reader, 0, buffer, 16, &w, INT64_MAX);
}
static int publish_and_read_all(void) {
    static uint64_t after;
    for (int i = 0; i < 3; i++)
        if (nshm_topic_publish(&t, buffer, 16, INT64_MAX, NULL)) return 1;
    for (int i = 0; i < 3; i++, after = w.number)
        if (nshm_topic_next(&reader, after, buffer, 16, &w, INT64_MAX)) return 1;
    return nshm_topic_next(&reader, after, buffer, 16, &w, 0) != -EAGAIN;
}
static int publish_and_read_large(void) {
    return nshm_topic_publish(&t, buffer, 2000, INT64_MAX, NULL) || nshm_topic_latest(&reader, 0, buffer, 2000, &w, INT64_MAX);
}
static int read_in_place(void) {
    return nshm_topic_publish(&t, buffer, 2000, INT64_MAX, NULL) || nshm_topic_latest(&reader, 0, NULL, 0, &w, INT64_MAX) ||
           ((char *)w.data)[1999] != buffer[1999] || !nshm_topic_valid(&reader, &w);
}
static int pin_and_release(void) {
    return nshm_topic_publish(&t, buffer, 2000, INT64_MAX, NULL) || nshm_topic_pin(&t, 0, NULL, 0, &w, INT64_MAX) || nshm_topic_release(&t, &w);
}
static int loan_and_commit(void) {
    if (nshm_topic_loan(&t, &w, INT64_MAX)) return 1;
    memset(w.data, 1, 100);
    return nshm_topic_commit(&t, &w, 100, INT64_MAX);
}
static int loan_and_abandon(void) { return nshm_topic_loan(&t, &w, INT64_MAX) || nshm_topic_abandon(&t, &w); }
static int nothing_new(void) { return nshm_topic_latest(&reader, nshm_topic_number(&t), buffer, 16, &w, 0) != -EAGAIN; }
static int look(void) {
    nshm_topic_statistics s;
    nshm_topic_stat(&reader, &s);
    return s.published != nshm_topic_number(&t);
}
static int after_a_sleep(void) { /* somebody slept once; two more values, and it is quiet again */
    static int begun;
    if (!begun++) {
        if (nshm_topic_latest(&reader, nshm_topic_number(&t), buffer, 16, &w, nshm_now() + 1000000) != -ETIMEDOUT) return 1;
        for (int i = 0; i < 2; i++)
            if (nshm_topic_publish(&t, buffer, 16, INT64_MAX, NULL)) return 1;
    }
    return publish_and_read();
}

static const struct {
    const char *name;
    int (*operate)(void);
} kinds[] = {
#define KIND(name) {#name, name}
    KIND(publish_and_read), KIND(publish_and_read_all), KIND(publish_and_read_large), KIND(read_in_place), KIND(pin_and_release),
    KIND(loan_and_commit), KIND(loan_and_abandon), KIND(nothing_new), KIND(look), KIND(after_a_sleep),
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
    start = starting(4, 16, 1, 1, 2000);
    make_topic(&t);
    open_topic(&reader, NSHM_READONLY);
    if (kinds[k].operate()) broken("the first time"); /* it takes part from then on */
    if (allow_nothing_but_exit()) return NOT_HERE;
    for (int i = 0; i < ROUNDS; i++) wrong |= kinds[k].operate();
    syscall(SYS_exit, wrong);
}
