/* SPDX-License-Identifier: MIT */

/*
 * What the encodings make of a collection, and what they take for it: for
 * tests/bench/bytes, which makes a table of the lines that this prints. Every body is
 * decoded again and compared. All on one thread; times are CPU times of it.
 */

#include "common/opt.h"
#include "tests/bench/coder.h"
#include "tests/bench/collection.h"
#include "tests/lib/fault.h"
#include "tests/lib/same.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#define IDENTIFIER SPAN("host-1.example.com")
#define RUNS_MAX 1000u

struct conf {
    const char *collection;
    uint64_t batch_size;
    uint64_t runs;
    uint64_t level;
    const char *count;
};

#define AT(field) offsetof(struct conf, field)

static const struct opt opts[] = {
    {.name = "collection",
     .type = OPT_STRING,
     .at = AT(collection),
     .dflt = "pcc.json",
     .help = "the file of measurements"},
    {.name = "batch-size",
     .type = OPT_COUNT,
     .at = AT(batch_size),
     .dflt = "100",
     .min = 1,
     .max = LIMIT_MEASUREMENTS,
     .help = "a batch ends with the tick that reaches so many measurements"},
    {.name = "runs",
     .type = OPT_COUNT,
     .at = AT(runs),
     .dflt = "15",
     .min = 1,
     .max = RUNS_MAX,
     .help = "how often each is done; times are the median of them"},
    {.name = "level",
     .type = OPT_COUNT,
     .at = AT(level),
     .dflt = "6",
     .max = 9,
     .help = "with --count: of gzip; 0: none"},
    {.name = "count",
     .type = OPT_STRING,
     .at = AT(count),
     .dflt = "",
     .help = "only this encoding, in functions counted_* for a profiler"},
};

#ifdef __OPTIMIZE__
#define OPTIMIZED "optimized"
#else
#define OPTIMIZED "not optimized"
#endif
#ifdef __clang__
#define COMPILER __VERSION__
#else
#define COMPILER "gcc " __VERSION__
#endif

static const struct opt_program program = {
    .name = "encodings",
    .prefix = "PC_ENCODINGS_",
    .summary = "encodes a collection in every way; see tests/bench/bytes",
    .more = "",
    .version = COMPILER ", " OPTIMIZED ", zlib " ZLIB_VERSION "\n",
    .opts = opts,
    .n_opts = sizeof opts / sizeof *opts,
};

struct batches {
    struct batch *items;
    size_t n;
};

/* What one way made of the batches that it counts. */
struct figures {
    size_t batches;
    size_t measurements;
    size_t bytes;
    uint64_t step_ns[STEPS][RUNS_MAX];
    uint64_t allocations[STEPS]; /* of all runs, but for the one that warms up */
};

static void batches_done(struct batches *b)
{
    for (size_t i = 0; i < b->n; i++)
        batch_done(&b->items[i]);
    free(b->items);
}

/* Would a mean with this one in it say something? Not if it is the rest of a collection
 * that has enough without it, or too small for its fixed bytes not to matter. */
static bool is_fair(const struct batches *before, size_t n, uint64_t batch_size)
{
    return n >= batch_size || before->n == 0 || (before->n == 1 && n >= batch_size / 2);
}

static int cut(const struct batch *all, uint64_t batch_size, struct batches *ret)
{
    ret->items = calloc(all->n_items / batch_size + 1, sizeof *ret->items);
    if (!ret->items)
        return -ENOMEM;
    for (size_t from = 0; from < all->n_items;) {
        struct batch *b = &ret->items[ret->n];

        batch_init(b, &batch_limits_default);
        int r = collection_cut(all, from, batch_size, b);
        if (r == 0)
            r = batch_set_identifier(b, IDENTIFIER);
        from += b->n_items;
        if (r || !is_fair(ret, b->n_items, batch_size)) {
            batch_done(b);
            return r;
        }
        ret->n++;
    }
    return 0;
}

static bool counts(const struct way *way, size_t i)
{
    return i ? way->others : way->first;
}

static uint64_t cpu_ns(void)
{
    struct timespec t;

    if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t))
        return 0;
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The first run: what comes out, and is it right? */
static int warm_up(struct coder *c, const struct batches *batches, struct figures *f)
{
    coder_begin(c);
    for (size_t i = 0; i < batches->n; i++) {
        const struct batch *b = &batches->items[i];

        for (unsigned step = 0; step < STEPS; step++) {
            int r = coder_step(c, step, b);
            if (r)
                return r;
        }
        if (!same_batch(&c->back, b) || (!c->way->codec && !same_ticks(&c->back, b)))
            return E_CONFLICT;
        if (!counts(c->way, i))
            continue;
        f->batches++;
        f->measurements += b->n_items;
        f->bytes += coder_body(c).n;
    }
    return 0;
}

static int run_once(struct coder *c, const struct batches *batches, size_t run,
                    struct figures *f)
{
    coder_begin(c);
    for (size_t i = 0; i < batches->n; i++)
        for (unsigned step = 0; step < STEPS; step++) {
            uint64_t allocations = fault_allocations();
            uint64_t begin_ns = cpu_ns();
            int r = coder_step(c, step, &batches->items[i]);
            if (r)
                return r;
            if (!counts(c->way, i))
                continue;
            f->step_ns[step][run] += cpu_ns() - begin_ns;
            f->allocations[step] += fault_allocations() - allocations;
        }
    return 0;
}

static int by_size(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static void print_figures(const struct way *way, int level, uint64_t runs,
                          struct figures *f)
{
    printf("way\t%s\t%d\t%zu\t%zu\t%zu", way->name, level, f->batches, f->measurements,
           f->bytes);
    for (unsigned step = 0; step < STEPS; step++) {
        qsort(f->step_ns[step], runs, sizeof f->step_ns[step][0], by_size);
        printf("\t%" PRIu64, f->step_ns[step][runs / 2]);
    }
    printf("\n");
}

static int measure(const struct way *way, int level, const struct batches *batches,
                   uint64_t runs)
{
    static struct figures f; /* too much for a stack */
    struct coder c;

    memset(&f, 0, sizeof f);
    int r = coder_init(&c, way, level);
    if (r)
        return r;
    r = warm_up(&c, batches, &f);
    for (uint64_t run = 0; r == 0 && run < runs; run++)
        r = run_once(&c, batches, run, &f);
    if (r == 0)
        print_figures(way, level, runs, &f);
    coder_done(&c);
    return r;
}

static int measure_all(const struct batches *batches, uint64_t runs)
{
    static const int levels[] = {0, 1, 6, 9};

    for (const struct way *way = ways; way->name; way++)
        for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
            int r = measure(way, levels[i], batches, runs);
            if (r) {
                fprintf(stderr, "encodings: %s: %s\n", way->name, err_text(r));
                return r;
            }
        }
    return 0;
}

/* For callgrind, which tells functions apart: no inlining, no tail calls. */
#define COUNTED(name, step)                                                              \
    __attribute__((noinline)) int name(struct coder *c, const struct batch *b);          \
    int name(struct coder *c, const struct batch *b)                                     \
    {                                                                                    \
        int r = coder_step(c, step, b);                                                  \
        __asm__ volatile("");                                                            \
        return r;                                                                        \
    }

COUNTED(counted_encode, STEP_ENCODE)
COUNTED(counted_compress, STEP_COMPRESS)
COUNTED(counted_decompress, STEP_DECOMPRESS)
COUNTED(counted_decode, STEP_DECODE)

static int count_once(struct coder *c, const struct batches *batches, struct figures *f)
{
    static int (*const steps[])(struct coder *, const struct batch *) = {
        [STEP_ENCODE] = counted_encode,
        [STEP_COMPRESS] = counted_compress,
        [STEP_DECOMPRESS] = counted_decompress,
        [STEP_DECODE] = counted_decode,
    };

    coder_begin(c);
    for (size_t i = 0; i < batches->n; i++)
        for (unsigned step = 0; step < STEPS; step++) {
            const struct batch *b = &batches->items[i];
            uint64_t before = fault_allocations();
            int r = counts(c->way, i) ? steps[step](c, b) : coder_step(c, step, b);
            if (r)
                return r;
            if (counts(c->way, i))
                f->allocations[step] += fault_allocations() - before;
        }
    return 0;
}

/* Two runs: one to warm up, one that counts. */
static int count(const struct conf *conf, const struct batches *batches)
{
    static struct figures f;
    struct coder c;
    const struct way *way = way_find(conf->count);

    if (!way)
        return E_UNSUPPORTED;
    int r = coder_init(&c, way, (int)conf->level);
    if (r)
        return r;
    r = warm_up(&c, batches, &f);
    if (r == 0)
        r = count_once(&c, batches, &f);
    if (r == 0)
        printf("counted\t%s\t%zu\t%zu\t%" PRIu64 "\t%" PRIu64 "\n", way->name, f.batches,
               f.measurements, f.allocations[STEP_ENCODE] + f.allocations[STEP_COMPRESS],
               f.allocations[STEP_DECOMPRESS] + f.allocations[STEP_DECODE]);
    coder_done(&c);
    return r;
}

static void print_collection(const struct batch *all, const struct batches *batches)
{
    size_t texts = 0, used = 0;

    for (size_t i = 0; i < all->n_items; i++)
        texts += all->items[i].text_n;
    for (size_t i = 0; i < batches->n; i++)
        used += batches->items[i].n_items;
    printf("collection\t%zu\t%zu\t%zu\t%zu\t%zu\n", all->n_items, all->n_ticks, texts,
           batches->n, used);
}

static int run(const struct conf *conf)
{
    CLEANUP(batch_done) struct batch all;
    CLEANUP(batches_done) struct batches batches = {0};

    collection_init(&all);
    int r = collection_read(conf->collection, &all);
    if (r == 0 && all.n_items == 0)
        r = E_GONE;
    if (r == 0)
        r = cut(&all, conf->batch_size, &batches);
    if (r == 0 && conf->count[0]) {
        r = count(conf, &batches);
    } else if (r == 0) {
        print_collection(&all, &batches);
        r = measure_all(&batches, conf->runs);
    }
    if (r)
        fprintf(stderr, "encodings: %s: %s\n", conf->collection, err_text(r));
    return r;
}

int main(int argc, char **argv)
{
    (void)argc; /* argv ends in NULL */
    struct opt_state state = {0};
    struct conf conf = {0};
    enum opt_action action = OPT_RUN;
    int r = opt_load(&program, argv, environ, &conf, &state, &action);

    if (r)
        fprintf(stderr, "encodings: %s\n", state.error);
    else if (action == OPT_HELP)
        opt_help(&program, stdout);
    else if (action == OPT_VERSION)
        fputs(program.version, stdout);
    else if (action == OPT_CHECK)
        opt_print(&program, &conf, &state, stdout);
    else
        r = run(&conf);
    opt_done(&state);
    return r ? EXIT_FAILURE : EXIT_SUCCESS;
}
