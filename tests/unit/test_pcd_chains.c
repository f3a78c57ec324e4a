/* SPDX-License-Identifier: MIT */
#include "pcd/chains.h"
#include "tests/lib/fault.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

/* States of a size that a test says, which know their place and no more. */
struct delta_state {
    size_t bytes;
    uint64_t snapshot;
    uint64_t number;
    _Atomic int users; /* who decode on it */
};

#define STATE_BYTES 488u /* a new one; with the overhead 1000 */
#define KEPT_BYTES (CHAINS_OVERHEAD + STATE_BYTES)

static _Atomic long n_states; /* that exist */

int __wrap_delta_state_new(struct delta_state **ret);
void __wrap_delta_state_free(struct delta_state *s);
size_t __wrap_delta_state_bytes(const struct delta_state *s);
bool __wrap_delta_state_fits(const struct delta_state *s, const struct delta_place *p);

int __wrap_delta_state_new(struct delta_state **ret)
{
    struct delta_state *s = calloc(1, sizeof *s);

    if (!s)
        return -ENOMEM;
    s->bytes = STATE_BYTES;
    n_states++;
    *ret = s;
    return 0;
}

void __wrap_delta_state_free(struct delta_state *s)
{
    n_states -= s != NULL;
    free(s);
}

size_t __wrap_delta_state_bytes(const struct delta_state *s)
{
    return s->bytes;
}

bool __wrap_delta_state_fits(const struct delta_state *s, const struct delta_place *p)
{
    return s->snapshot == p->snapshot && s->number + 1 == p->number;
}

static struct chains *chains;

static void begin(uint64_t max_bytes)
{
    const uint64_t seed[2] = {1, 2};

    ck_assert_int_eq(chains_new(max_bytes, seed, &chains), 0);
}

static void setup(void)
{
    begin(4 * KEPT_BYTES);
}

static void teardown(void)
{
    chains_free(chains);
    ck_assert_int_eq(n_states, 0);
}

static struct chains_counts counts(void)
{
    struct chains_counts counts;

    chains_count(chains, &counts);
    return counts;
}

static int take(const char *host, uint64_t snapshot, uint64_t number, uint64_t now_ns,
                struct chain **ret)
{
    const struct delta_place place = {true, snapshot, number};

    *ret = NULL;
    return chains_take(chains, span_of_str(host), 7, &place, now_ns, ret);
}

/* What decoding does to a state. */
static void decode(struct chain *e, uint64_t snapshot, uint64_t number, size_t bytes)
{
    chain_state(e)->snapshot = snapshot;
    chain_state(e)->number = number;
    chain_state(e)->bytes = bytes;
}

/* A whole batch: taken, decoded to so many bytes, stored. Return: of chains_take(). */
static int store(const char *host, uint64_t snapshot, uint64_t number, size_t bytes,
                 uint64_t now_ns)
{
    struct chain *e;
    int r = take(host, snapshot, number, now_ns, &e);

    if (r || !e)
        return r;
    decode(e, snapshot, number, bytes);
    (void)chains_decoded(chains, e, now_ns); /* the counts tell */
    chains_settle(chains, e, true, now_ns);
    return 0;
}

/* Is there an idle state after this batch? It is taken and given back, so used. */
static bool has(const char *host, uint64_t snapshot, uint64_t number, uint64_t now_ns)
{
    struct chain *e;
    uint64_t conflicts = counts().conflicts;

    if (take(host, snapshot, number + 1, now_ns, &e)) {
        ck_assert_uint_eq(counts().conflicts, conflicts + 1);
        return false;
    }
    chains_settle(chains, e, true, now_ns);
    return true;
}

START_TEST(a_chain_is_a_snapshot_and_what_builds_on_it_in_order)
{
    ck_assert_int_eq(store("h", 3, 1, STATE_BYTES, 0), E_CONFLICT);
    ck_assert_int_eq(store("h", 3, 0, STATE_BYTES, 0), 0);
    ck_assert_int_eq(store("h", 3, 1, STATE_BYTES, 0), 0);
    ck_assert_int_eq(store("h", 3, 2, STATE_BYTES, 0), 0);
    ck_assert_int_eq(store("h", 3, 2, STATE_BYTES, 0), E_CONFLICT);
    ck_assert_int_eq(store("h", 3, 4, STATE_BYTES, 0), E_CONFLICT);
    ck_assert_int_eq(store("h", 4, 3, STATE_BYTES, 0), E_CONFLICT);
    ck_assert_int_eq(store("h", 3, 3, STATE_BYTES, 0), 0);
    ck_assert_uint_eq(counts().conflicts, 4);
    ck_assert_uint_eq(counts().states, 1);
    ck_assert_uint_eq(counts().bytes, KEPT_BYTES);
}
END_TEST

START_TEST(a_snapshot_is_taken_whatever_its_number)
{
    ck_assert_int_eq(store("h", 3, 0, STATE_BYTES, 0), 0);
    ck_assert_int_eq(store("h", 3, 0, STATE_BYTES, 0), 0);
    ck_assert_int_eq(store("h", 2, 0, STATE_BYTES, 0), 0);
    ck_assert(has("h", 2, 0, 0));
    ck_assert_uint_eq(counts().states, 1);
    ck_assert_int_eq(n_states, 1);
}
END_TEST

START_TEST(each_identifier_and_session_has_a_chain_of_its_own)
{
    const struct delta_place next = {true, 1, 1};
    struct chain *e;

    ck_assert_int_eq(store("h", 1, 0, STATE_BYTES, 0), 0);
    ck_assert(!has("g", 1, 0, 0));
    ck_assert(!has("hh", 1, 0, 0));
    ck_assert_int_eq(chains_take(chains, SPAN("h"), 8, &next, 0, &e), E_CONFLICT);
    ck_assert(has("h", 1, 0, 0));
}
END_TEST

START_TEST(a_batch_that_comes_while_the_one_before_is_being_stored_conflicts)
{
    struct chain *e, *other;

    ck_assert_int_eq(store("h", 1, 0, STATE_BYTES, 0), 0);
    ck_assert_int_eq(take("h", 1, 1, 0, &e), 0);
    ck_assert_int_eq(take("h", 1, 1, 0, &other), E_CONFLICT);
    decode(e, 1, 1, STATE_BYTES);
    ck_assert(chains_decoded(chains, e, 0));
    ck_assert_int_eq(take("h", 1, 2, 0, &other), E_CONFLICT);
    chains_settle(chains, e, true, 0);
    ck_assert_int_eq(take("h", 1, 2, 0, &other), 0);
    ck_assert_ptr_eq(other, e);
    chains_settle(chains, e, true, 0);
}
END_TEST

START_TEST(a_batch_that_fails_takes_its_state_along)
{
    struct chain *e;

    ck_assert_int_eq(store("h", 1, 0, STATE_BYTES, 0), 0);
    ck_assert_int_eq(take("h", 1, 1, 0, &e), 0);
    chains_settle(chains, e, false, 0); /* it didn't decode */
    ck_assert_uint_eq(counts().bytes, 0);
    ck_assert_uint_eq(counts().states, 0);
    ck_assert_int_eq(n_states, 0);
    ck_assert(!has("h", 1, 0, 0));

    ck_assert_int_eq(take("h", 2, 0, 0, &e), 0);
    decode(e, 2, 0, STATE_BYTES);
    ck_assert(chains_decoded(chains, e, 0));
    chains_settle(chains, e, false, 0); /* it wasn't stored */
    ck_assert(!has("h", 2, 0, 0));
    ck_assert_int_eq(n_states, 0);
}
END_TEST

START_TEST(a_snapshot_while_the_state_is_taken_begins_the_chain_anew)
{
    struct chain *old, *new;

    for (int stored = 0; stored < 2; stored++) {
        ck_assert_int_eq(take("h", 1, 0, 0, &old), 0);
        decode(old, 1, 0, STATE_BYTES);
        ck_assert(chains_decoded(chains, old, 0));
        ck_assert_int_eq(take("h", 2, 0, 0, &new), 0);
        ck_assert_ptr_ne(old, new);
        ck_assert_uint_eq(counts().states, 1);
        ck_assert_uint_eq(counts().bytes, 2 * KEPT_BYTES);
        decode(new, 2, 0, STATE_BYTES);
        ck_assert(chains_decoded(chains, new, 0));
        if (stored == 0)
            chains_settle(chains, new, true, 0);
        chains_settle(chains, old, true, 0); /* stored, but nobody builds on it */
        if (stored == 1)
            chains_settle(chains, new, true, 0);
        ck_assert_uint_eq(counts().bytes, KEPT_BYTES);
        ck_assert(!has("h", 1, 0, 0));
        ck_assert(has("h", 2, 0, 0));
    }
    /* Should the newer one fail, the older one is no more to be built on. */
    ck_assert_int_eq(take("h", 3, 0, 0, &old), 0);
    decode(old, 3, 0, STATE_BYTES);
    ck_assert_int_eq(take("h", 4, 0, 0, &new), 0);
    ck_assert(chains_decoded(chains, old, 0));
    ck_assert_ptr_null(chain_state(old));
    chains_settle(chains, new, false, 0);
    chains_settle(chains, old, true, 0);
    ck_assert(!has("h", 3, 0, 0));
    ck_assert_uint_eq(counts().bytes, 0);
    ck_assert_uint_eq(counts().not_kept, 0);
}
END_TEST

START_TEST(without_room_the_states_idle_longest_go_first)
{
    const uint64_t late_ns = CHAINS_IDLE_NS + 3;

    ck_assert_int_eq(store("a", 1, 0, STATE_BYTES, 1), 0);
    ck_assert_int_eq(store("b", 1, 0, STATE_BYTES, 2), 0);
    ck_assert_int_eq(store("c", 1, 0, STATE_BYTES, 3), 0);
    ck_assert_int_eq(store("d", 1, 0, STATE_BYTES, 4), 0);
    ck_assert_int_eq(store("a", 1, 1, STATE_BYTES, 5), 0); /* the youngest now */
    ck_assert_uint_eq(counts().bytes, 4 * KEPT_BYTES);

    ck_assert_int_eq(store("e", 1, 0, STATE_BYTES, late_ns), 0);
    ck_assert_uint_eq(counts().evicted, 1);
    ck_assert(!has("b", 1, 0, late_ns));
    ck_assert_int_eq(store("f", 1, 0, STATE_BYTES, late_ns), 0);
    ck_assert_uint_eq(counts().evicted, 2);
    ck_assert(!has("c", 1, 0, late_ns));

    /* d isn't idle long enough. */
    ck_assert_int_eq(store("g", 1, 0, STATE_BYTES, late_ns), 0);
    ck_assert_uint_eq(counts().evicted, 2);
    ck_assert_uint_eq(counts().not_kept, 1);
    ck_assert(!has("g", 1, 0, late_ns));
    ck_assert(has("d", 1, 0, late_ns));
    ck_assert(has("a", 1, 1, late_ns));
    ck_assert(has("e", 1, 0, late_ns));
    ck_assert(has("f", 1, 0, late_ns));
    ck_assert_uint_eq(counts().states, 4);
    ck_assert_int_eq(n_states, 4);
}
END_TEST

START_TEST(with_room_a_state_stays_however_idle)
{
    ck_assert_int_eq(store("a", 1, 0, STATE_BYTES, 0), 0);
    ck_assert_int_eq(store("b", 1, 0, STATE_BYTES, 100 * CHAINS_IDLE_NS), 0);
    ck_assert(has("a", 1, 0, 100 * CHAINS_IDLE_NS));
    ck_assert_uint_eq(counts().evicted, 0);
}
END_TEST

START_TEST(a_taken_state_counts_and_does_not_go)
{
    struct chain *taken;

    ck_assert_int_eq(store("a", 1, 0, STATE_BYTES, 0), 0);
    ck_assert_int_eq(take("a", 1, 1, 0, &taken), 0);
    decode(taken, 1, 1, 3 * KEPT_BYTES + STATE_BYTES);
    ck_assert(chains_decoded(chains, taken, 0));
    ck_assert_uint_eq(counts().bytes, 4 * KEPT_BYTES);
    ck_assert_int_eq(store("b", 1, 0, STATE_BYTES, 2 * CHAINS_IDLE_NS), 0);
    ck_assert_uint_eq(counts().not_kept, 1);
    ck_assert_uint_eq(counts().evicted, 0);
    chains_settle(chains, taken, true, 2 * CHAINS_IDLE_NS);
    ck_assert(has("a", 1, 1, 2 * CHAINS_IDLE_NS));
}
END_TEST

START_TEST(a_state_that_grows_past_the_bound_is_not_kept)
{
    struct chain *e;

    ck_assert_int_eq(store("a", 1, 0, STATE_BYTES, 0), 0);
    ck_assert_int_eq(store("b", 1, 0, STATE_BYTES, 0), 0);
    ck_assert_int_eq(take("b", 1, 1, 0, &e), 0);
    decode(e, 1, 1, 2 * KEPT_BYTES + STATE_BYTES + 1);
    ck_assert(!chains_decoded(chains, e, 0));
    ck_assert_int_eq(n_states, 1); /* its memory is free at once */
    ck_assert_uint_eq(counts().states, 1);
    chains_settle(chains, e, true, 0);
    ck_assert(!has("b", 1, 1, 0));
    ck_assert_uint_eq(counts().not_kept, 1);
    ck_assert_uint_eq(counts().bytes, KEPT_BYTES);

    /* One that no eviction makes room for. */
    ck_assert_int_eq(store("c", 1, 0, 5 * KEPT_BYTES, 0), 0);
    ck_assert_uint_eq(counts().not_kept, 2);
    ck_assert(has("a", 1, 0, 0));
    /* Growth makes room as a new one does. */
    ck_assert_int_eq(store("d", 1, 0, STATE_BYTES, CHAINS_IDLE_NS), 0);
    ck_assert_int_eq(store("d", 1, 1, 3 * KEPT_BYTES + STATE_BYTES, CHAINS_IDLE_NS), 0);
    ck_assert_uint_eq(counts().evicted, 1);
    ck_assert(!has("a", 1, 0, CHAINS_IDLE_NS));
    ck_assert(has("d", 1, 1, CHAINS_IDLE_NS));
}
END_TEST

START_TEST(a_state_that_shrinks_makes_room)
{
    ck_assert_int_eq(store("a", 1, 0, 3 * KEPT_BYTES + STATE_BYTES, 0), 0);
    ck_assert_uint_eq(counts().bytes, 4 * KEPT_BYTES);
    ck_assert_int_eq(store("a", 2, 0, STATE_BYTES, 0), 0);
    ck_assert_uint_eq(counts().bytes, KEPT_BYTES);
    ck_assert_int_eq(store("b", 1, 0, STATE_BYTES, 0), 0);
    ck_assert(has("b", 1, 0, 0));
}
END_TEST

START_TEST(many_small_states_are_bounded_by_their_overhead)
{
    char host[16];

    for (unsigned i = 0; i < 100; i++) {
        (void)snprintf(host, sizeof host, "h%u", i);
        ck_assert_int_eq(store(host, 1, 0, 0, 0), 0);
    }
    ck_assert_uint_le(counts().states, 4 * KEPT_BYTES / CHAINS_OVERHEAD);
    ck_assert_uint_ge(counts().states, 4 * KEPT_BYTES / CHAINS_OVERHEAD - 1);
    ck_assert_uint_le(counts().bytes, 4 * KEPT_BYTES);
    ck_assert_int_eq((long)counts().states, n_states);
}
END_TEST

START_TEST(where_memory_runs_out_nothing_changed)
{
    const uint64_t seed[2] = {1, 2};
    struct chains *none = NULL;
    struct chain *e;
    bool fired = true;

    for (long nth = 0; fired; nth++) {
        fault_arm(nth);
        int r = chains_new(MIB, seed, &none);
        fired = fault_disarm();
        ck_assert_int_eq(r, fired ? -ENOMEM : 0);
    }
    chains_free(none);

    ck_assert_int_eq(store("h", 1, 0, STATE_BYTES, 0), 0);
    fired = true;
    for (long nth = 0; fired; nth++) {
        fault_arm(nth);
        int r = take("h", 2, 0, 0, &e);
        fired = fault_disarm();
        ck_assert_int_eq(r, fired ? -ENOMEM : 0);
        if (fired)
            ck_assert(has("h", 1, 0, 0));
    }
    chains_settle(chains, e, false, 0);

    /* A batch of a chain needs none. */
    ck_assert_int_eq(store("h", 1, 0, STATE_BYTES, 0), 0);
    fault_arm(0);
    int r = take("h", 1, 1, 0, &e);
    ck_assert(!fault_disarm());
    ck_assert_int_eq(r, 0);
    chains_settle(chains, e, true, 0);
}
END_TEST

#define THREADS 4u
#define ROUNDS 4000u

struct sender {
    pthread_t thread;
    uint32_t random;
    uint64_t stored;
    uint64_t wrong; /* what should never be */
};

static uint32_t draw(struct sender *s)
{
    s->random = s->random * 1664525u + 1013904223u;
    return s->random >> 16;
}

/* Decodes on what was taken, alone. */
static void send_taken(struct sender *s, struct chain *e, const struct delta_place *place,
                       uint64_t now_ns)
{
    struct delta_state *state = chain_state(e);

    s->wrong += state->users++ != 0;
    s->wrong += place->number > 0 && !delta_state_fits(state, place);
    decode(e, place->snapshot, place->number, STATE_BYTES + draw(s) % 300);
    s->wrong += --state->users != 0;
    (void)chains_decoded(chains, e, now_ns);
    bool stored = draw(s) % 8 != 0;
    s->stored += stored;
    chains_settle(chains, e, stored, now_ns);
}

/* Many clients use few sessions, each wherever it believes the chain to be. */
static void *send_batches(void *arg)
{
    static const char *const hosts[] = {"a", "b", "c", "d", "e", "f"};
    struct sender *s = arg;

    for (uint64_t i = 0; i < ROUNDS; i++) {
        const char *host = hosts[draw(s) % 6];
        struct delta_place place = {true, draw(s) % 2, draw(s) % 3};
        struct chain *e;
        int r = take(host, place.snapshot, place.number, i * CHAINS_IDLE_NS / 64, &e);

        s->wrong += r != 0 && (r != E_CONFLICT || place.number == 0);
        if (r == 0 && e)
            send_taken(s, e, &place, i * CHAINS_IDLE_NS / 64);
    }
    return NULL;
}

START_TEST(threads_never_share_a_state_nor_build_on_the_wrong_one)
{
    struct sender senders[THREADS] = {{.random = 1}, {.random = 2}, {.random = 3}};
    struct chains_counts end;
    uint64_t stored = 0;

    for (size_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(
            pthread_create(&senders[i].thread, NULL, send_batches, &senders[i]), 0);
    for (size_t i = 0; i < THREADS; i++) {
        ck_assert_int_eq(pthread_join(senders[i].thread, NULL), 0);
        ck_assert_uint_eq(senders[i].wrong, 0);
        stored += senders[i].stored;
    }
    end = counts();
    ck_assert_uint_gt(stored, 0);
    ck_assert_uint_gt(end.conflicts, 0);
    ck_assert_uint_le(end.bytes, 4 * KEPT_BYTES);
    ck_assert_int_eq((long)end.states, n_states);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pcd chains");
    TCase *c = tcase_create("chains");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, a_chain_is_a_snapshot_and_what_builds_on_it_in_order);
    tcase_add_test(c, a_snapshot_is_taken_whatever_its_number);
    tcase_add_test(c, each_identifier_and_session_has_a_chain_of_its_own);
    tcase_add_test(c, a_batch_that_comes_while_the_one_before_is_being_stored_conflicts);
    tcase_add_test(c, a_batch_that_fails_takes_its_state_along);
    tcase_add_test(c, a_snapshot_while_the_state_is_taken_begins_the_chain_anew);
    tcase_add_test(c, without_room_the_states_idle_longest_go_first);
    tcase_add_test(c, with_room_a_state_stays_however_idle);
    tcase_add_test(c, a_taken_state_counts_and_does_not_go);
    tcase_add_test(c, a_state_that_grows_past_the_bound_is_not_kept);
    tcase_add_test(c, a_state_that_shrinks_makes_room);
    tcase_add_test(c, many_small_states_are_bounded_by_their_overhead);
    tcase_add_test(c, where_memory_runs_out_nothing_changed);
    tcase_add_test(c, threads_never_share_a_state_nor_build_on_the_wrong_one);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
