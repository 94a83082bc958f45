/* tests/unit/test_scr_proctree.c - processes of our own making, seen through /proc. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "scraper/proctree.h"

#define MIB (1u << 20)

/* A child with a name that is hard to read and `mib` of memory of its own; it has a child of its
 * own, whose pid it tells. Both wait until they are killed. */
static pid_t start_family(unsigned mib, pid_t *grandchild)
{
    int tell[2];

    assert_int_equal(pipe(tell), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)prctl(PR_SET_NAME, ") Z 1 (x");
        pid_t below = fork();
        if (below == 0) {
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
            for (;;)
                (void)pause();
        }
        void *memory = mmap(NULL, (size_t)mib * MIB, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory != MAP_FAILED)
            memset(memory, 1, (size_t)mib * MIB);
        (void)!write(tell[1], &below, sizeof below);
        for (;;)
            (void)pause();
    }
    assert_int_equal(read(tell[0], grandchild, sizeof *grandchild), sizeof *grandchild);
    (void)close(tell[0]);
    (void)close(tell[1]);
    return child;
}

static void end_family(pid_t child)
{
    (void)kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

static void the_tree_is_the_process_and_all_below_it(void **state)
{
    pid_t grandchild, tree[16];
    pid_t child = start_family(1, &grandchild);

    (void)state;
    assert_int_equal(scr_proctree_list(child, tree, 16), 2);
    assert_int_equal(tree[0], child);
    assert_int_equal(tree[1], grandchild);
    assert_int_equal(scr_proctree_list(child, tree, 1), 1);
    assert_int_equal(scr_proctree_list(child, tree, 0), 0);
    assert_true(scr_proctree_list(getpid(), tree, 16) >= 3);
    end_family(child);
    assert_int_equal(scr_proctree_list(child, tree, 16), 0);
}

static void memory_is_counted_where_it_is(void **state)
{
    pid_t grandchild;
    pid_t child = start_family(40, &grandchild);
    int64_t one = scr_process_pss_bytes(child), all = scr_proctree_pss_bytes(child);

    (void)state;
    assert_true(one >= 40 * (int64_t)MIB);
    assert_true(all > one);
    /* The grandchild was there before the 40 MB, and they are the child's alone. */
    assert_true(scr_process_pss_bytes(grandchild) < 40 * (int64_t)MIB);
    end_family(child);
    assert_int_equal(scr_process_pss_bytes(child), 0);
    assert_int_equal(scr_proctree_pss_bytes(child), 0);
}

static void a_process_is_known_by_its_start(void **state)
{
    pid_t grandchild;
    pid_t child = start_family(1, &grandchild);
    uint64_t ticks = scr_process_start_ticks(child);

    (void)state;
    assert_true(ticks > 0);
    assert_true(scr_process_start_ticks(getpid()) <= ticks);
    assert_true(scr_process_is_alive(child, ticks));
    assert_true(scr_process_is_alive(child, 0));
    assert_false(scr_process_is_alive(child, ticks + 1));
    assert_false(scr_process_is_alive(0, 0));
    assert_false(scr_process_is_alive(-1, 0));
    end_family(child);
    assert_false(scr_process_is_alive(child, ticks));
    assert_int_equal(scr_process_start_ticks(child), 0);
}

static void a_zombie_is_not_alive(void **state)
{
    siginfo_t info;
    pid_t child = fork();

    (void)state;
    assert_true(child >= 0);
    if (child == 0)
        _exit(0);
    assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    assert_true(scr_process_start_ticks(child) > 0);
    assert_false(scr_process_is_alive(child, 0));
    assert_int_equal(waitpid(child, NULL, 0), child);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_tree_is_the_process_and_all_below_it),
        cmocka_unit_test(memory_is_counted_where_it_is),
        cmocka_unit_test(a_process_is_known_by_its_start),
        cmocka_unit_test(a_zombie_is_not_alive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
