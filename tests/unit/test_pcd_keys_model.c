/* SPDX-License-Identifier: MIT */
#include "tests/lib/suite.h"
#include "tests/unit/keys_home.h"

#include <errno.h>

static struct keys_home home;

static void setup(void)
{
    home_make(&home);
}

static void teardown(void)
{
    home_done(&home);
}

/* Random requests against plain arrays, with checkpoints and crashes between them. */

#define MODEL_IDENTIFIERS 5u
#define MODEL_SESSIONS 4u
#define MODEL_ALL (MODEL_IDENTIFIERS * MODEL_SESSIONS)
#define MODEL_SEQS 60u
#define MODEL_FLIGHT 8u

static const char *const model_names[MODEL_IDENTIFIERS] = {"a", "b", "ab", "host", "ho"};

struct model {
    uint64_t random;
    bool stored[MODEL_ALL][MODEL_SEQS + 1];
    bool durable[MODEL_ALL][MODEL_SEQS + 1];
    struct {
        size_t session;
        struct key key;
    } flight[MODEL_FLIGHT];
    size_t n_flight;
};

static const struct {
    uint64_t merge_at;
    size_t max_sessions;
} model_confs[] = {{0, 1000}, {1, 0}, {3, 5}, {10, 1}};

static uint64_t draw(struct model *m, uint64_t below)
{
    m->random ^= m->random << 13;
    m->random ^= m->random >> 7;
    m->random ^= m->random << 17;
    return (m->random >> 16) % below;
}

static const char *name_of(size_t session)
{
    return model_names[session % MODEL_IDENTIFIERS];
}

static struct key model_key(size_t session, uint64_t seq, uint64_t floor)
{
    return (struct key){
        .session = session / MODEL_IDENTIFIERS, .seq = seq, .floor = floor};
}

static bool is_in_flight(const struct model *m, size_t session, uint64_t seq)
{
    for (size_t i = 0; i < m->n_flight; i++) {
        if (m->flight[i].session == session && m->flight[i].key.seq == seq)
            return true;
    }
    return false;
}

static void model_reserve(struct model *m)
{
    size_t session = draw(m, MODEL_ALL);
    uint64_t seq = draw(m, MODEL_SEQS) + 1;
    uint64_t floor = draw(m, 10) ? 0 : draw(m, MODEL_SEQS / 3);

    if (m->n_flight == MODEL_FLIGHT || is_in_flight(m, session, seq))
        return;
    struct key k = model_key(session, seq, floor);
    int r = home_reserve(&home, name_of(session), k, NOW_NS);
    ck_assert_int_eq(r, m->stored[session][seq] ? E_REPLAY : 0);
    if (r)
        return;
    m->flight[m->n_flight].session = session;
    m->flight[m->n_flight++].key = k;
}

static void model_settle(struct model *m, bool may_succeed)
{
    if (m->n_flight == 0)
        return;
    size_t i = draw(m, m->n_flight);
    size_t session = m->flight[i].session;
    struct key k = m->flight[i].key;
    bool succeeds = may_succeed && draw(m, 4) > 0;

    m->flight[i] = m->flight[--m->n_flight];
    home_settle(&home, name_of(session), k, succeeds ? 0 : -EIO);
    if (!succeeds)
        return;
    m->stored[session][k.seq] = true;
    for (uint64_t seq = 1; seq < k.floor && seq < k.seq; seq++)
        m->stored[session][seq] = true;
}

static void model_crash(struct model *m)
{
    while (m->n_flight > 0)
        model_settle(m, false);
    home_reopen(&home);
    memcpy(m->stored, m->durable, sizeof m->stored);
    for (size_t session = 0; session < MODEL_ALL; session++) {
        uint64_t seq = draw(m, MODEL_SEQS) + 1;
        ck_assert(home_has(&home, name_of(session), model_key(session, seq, 0)) ==
                  m->stored[session][seq]);
    }
}

START_TEST(after_a_crash_exactly_what_the_checkpoint_covered_is_stored)
{
    struct model m = {.random = (uint64_t)_i * UINT64_C(0x9e3779b97f4a7c15) + 1};

    home.conf.merge_at = model_confs[_i % 4].merge_at;
    home.conf.max_sessions = model_confs[_i % 4].max_sessions;
    home_open(&home);
    for (int step = 0; step < 6000; step++) {
        uint64_t what = draw(&m, 200);
        if (what == 0) {
            model_crash(&m);
        } else if (what <= 2) {
            home_checkpoint(&home, NOW_NS);
            memcpy(m.durable, m.stored, sizeof m.durable);
        } else if (what % 2 == 0) {
            model_reserve(&m);
        } else {
            model_settle(&m, true);
        }
    }
    model_crash(&m);
    for (size_t session = 0; session < MODEL_ALL; session++) {
        for (uint64_t seq = 1; seq <= MODEL_SEQS; seq++)
            ck_assert(home_has(&home, name_of(session), model_key(session, seq, 0)) ==
                      m.stored[session][seq]);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pcd_keys_model");
    TCase *c = tcase_create("model");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, after_a_crash_exactly_what_the_checkpoint_covered_is_stored, 0,
                        8);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
