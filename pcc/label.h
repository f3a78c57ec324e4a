/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What is known of an encoded batch without reading it: under which identity it is sent
 * (session and SEQ; protocol, section 6), the number that its first tick has in the
 * session, the form of its body, when it was measured, and the gaps that it tells of.
 */

#include "pcc/form.h"
#include "pcc/gaps.h"

struct label {
    uint64_t session;
    uint64_t seq;
    uint64_t first_tick;
    bool is_half; /* of a batch that was split: its SEQ is newer than its place */
    struct form form;
    struct gap_note range;  /* when, how many ticks, how many measurements */
    struct gap_set carried; /* the gaps that it tells of */
};
