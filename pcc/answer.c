/* SPDX-License-Identifier: MIT */
#include "pcc/answer.h"

#include "common/units.h"

#include <stdio.h>

/* The body as a TrickleResponse: in the form that its type names, or, where a server
 * names one that isn't ours, in the form of the request. */
static int decode(const struct http_answer *a, enum media_form sent, struct answer *ret)
{
    enum media_form form = sent;

    if (a->content_type.data && media_of_content_type(a->content_type, &form))
        form = sent;
    return media_codec(form)->decode_answer(a->body, ret, NULL);
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

enum outcome answer_outcome(const struct http_answer *a, enum media_form sent,
                            size_t n_sent, bool server_named, struct answer *ret_why)
{
    *ret_why = (struct answer){.is_error = false};
    if (a->status == 0 || (a->failure && a->status < 400)) {
        (void)strange(ret_why, a->failure ? a->failure : "no answer");
        return OUTCOME_RETRY;
    }

    int decoded = decode(a, sent, ret_why);
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
