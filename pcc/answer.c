/* SPDX-License-Identifier: MIT */
#include "pcc/answer.h"

#include "common/units.h"

#include <stdio.h>

/* The body as a TrickleResponse, in whatever form that is one, for not every server names
 * its type rightly. No bytes are one in both. */
static int decode(struct span body, struct answer *ret)
{
    int r = media_codec(MEDIA_JSON)->decode_answer(body, ret, NULL);

    return r ? media_codec(MEDIA_MSGPACK)->decode_answer(body, ret, NULL) : 0;
}

static enum outcome strange(struct answer *ret_why, const char *why)
{
    (void)snprintf(ret_why->error, sizeof ret_why->error, "%s", why);
    return OUTCOME_STRANGE;
}

static enum outcome stored_or_not(const struct http_answer *a, int decoded, size_t n_sent,
                                  struct answer *why)
{
    uint64_t n_stored = 0;

    if (decoded)
        return strange(why, "the answer is no TrickleResponse");
    if (why->is_error)
        return OUTCOME_STRANGE;
    if (a->stored.data && (units_parse_u64(a->stored, &n_stored) || n_stored != n_sent))
        return strange(why, "the server stored another number of measurements");
    return OUTCOME_STORED;
}

enum outcome answer_outcome(const struct http_answer *a, size_t n_sent, bool server_named,
                            struct answer *ret_why)
{
    *ret_why = (struct answer){.is_error = false};
    if (a->status == 0 || (a->failure && a->status < 400)) {
        (void)strange(ret_why, a->failure ? a->failure : "no answer");
        return OUTCOME_RETRY;
    }

    int decoded = decode(a->body, ret_why);
    if (decoded)
        *ret_why = (struct answer){.is_error = false};
    switch (a->status) {
    case 200:
        return stored_or_not(a, decoded, n_sent, ret_why);
    case 400:
        return server_named ? OUTCOME_REFUSED : OUTCOME_LOWER;
    case 401:
    case 403:
        return OUTCOME_DENIED;
    case 408:
        return OUTCOME_RETRY;
    case 409:
        return OUTCOME_SNAPSHOT;
    case 413:
        return OUTCOME_SPLIT;
    case 415:
        return OUTCOME_LOWER;
    case 429:
    case 503:
    case 507:
        return OUTCOME_WAIT;
    default:
        return OUTCOME_STRANGE;
    }
}
