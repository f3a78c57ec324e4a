/* SPDX-License-Identifier: MIT */

/*
 * Preloaded into a program by tests/bench/parts/agent_allocations.py: counts allocations
 * by thread and by who asks, the program itself or a library, in a file that others may
 * read meanwhile (PC_ALLOCATIONS). An allocation that libc makes for a caller counts for
 * libc, but strdup(3).
 */

#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define THREADS 64

/* What the reader sees, in an array of THREADS. */
struct counts {
    uint64_t thread; /* its id; 0: nobody's */
    uint64_t own;
    uint64_t others;
};

static struct counts *counts;
static uintptr_t text_begin, text_end; /* of the program */
static _Thread_local struct counts *mine __attribute__((tls_model("initial-exec")));

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t alignment, size_t n);

/* The first object is the program. */
static int find_text(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size;
    (void)arg;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *h = &info->dlpi_phdr[i];
        if (h->p_type == PT_LOAD && (h->p_flags & PF_X)) {
            text_begin = (uintptr_t)(info->dlpi_addr + h->p_vaddr);
            text_end = text_begin + (uintptr_t)h->p_memsz;
        }
    }
    return 1;
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("PC_ALLOCATIONS");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;

    if (fd < 0)
        return;
    void *at =
        mmap(NULL, THREADS * sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void)close(fd);
    (void)dl_iterate_phdr(find_text, NULL);
    if (at != MAP_FAILED)
        counts = at;
}

static struct counts *take_place(void)
{
    uint64_t id = (uint64_t)gettid();

    for (unsigned i = 0; i < THREADS; i++) {
        uint64_t nobody = 0;
        if (__atomic_compare_exchange_n(&counts[i].thread, &nobody, id, false,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            return &counts[i];
    }
    abort(); /* it would count wrong */
}

static void count(const void *caller)
{
    if (!counts)
        return;
    if (!mine)
        mine = take_place();
    if ((uintptr_t)caller >= text_begin && (uintptr_t)caller < text_end)
        mine->own++;
    else
        mine->others++;
}

/* What is called instead of libc's. */
#define CALLER __builtin_return_address(0)

void *malloc(size_t n)
{
    count(CALLER);
    return __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    count(CALLER);
    return __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
    count(CALLER);
    return __libc_realloc(p, n);
}

void *aligned_alloc(size_t alignment, size_t n)
{
    count(CALLER);
    return __libc_memalign(alignment, n);
}

char *strdup(const char *text)
{
    size_t n = strlen(text) + 1;

    count(CALLER);
    char *copy = __libc_malloc(n);
    return copy ? memcpy(copy, text, n) : NULL;
}
