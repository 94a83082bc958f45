/* tests/unit/failing_alloc.h - lets the n-th allocation fail, for tests linked with
 * -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc. Include it once, in the test's .c file. */
#ifndef TESTS_UNIT_FAILING_ALLOC_H
#define TESTS_UNIT_FAILING_ALLOC_H

#include <stdbool.h>
#include <stddef.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);

static int allocs_left = -1; /* how many more succeed; negative: all */
static bool alloc_failed;

static bool should_fail(void)
{
    if (allocs_left < 0)
        return false;
    if (allocs_left-- > 0)
        return false;
    allocs_left = -1; /* one failure only: the harder case, as later ones succeed again */
    alloc_failed = true;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return should_fail() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return should_fail() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    return should_fail() ? NULL : __real_realloc(memory, size);
}

/* The allocation after the next n fails. */
static void fail_alloc_after(int n)
{
    alloc_failed = false;
    allocs_left = n;
}

/* Ends it; true when the failure took place. */
static bool stop_failing(void)
{
    allocs_left = -1;
    return alloc_failed;
}

#endif
