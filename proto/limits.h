/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Every maximum that both sides of the wire rely on, once. Those that pcd lets its
 * user change are the defaults here; the others are fixed by the protocol.
 */

#define KIB (UINT64_C(1) << 10)
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define TIB (UINT64_C(1) << 40)

/* Fixed by the protocol. */
#define LIMIT_IDENTIFIER_BYTES 128u
#define LIMIT_TIMESTAMP_MIN UINT64_C(946684800)  /* 2000-01-01T00:00:00Z, seconds */
#define LIMIT_TIMESTAMP_MAX UINT64_C(7289654399) /* 2200-12-31T23:59:59Z, seconds */
#define LIMIT_SESSION_DIGITS 16u
#define LIMIT_RANGES_PER_SESSION 1024u
#define LIMIT_SESSIONS_PER_IDENTIFIER 10000u
#define LIMIT_RETRY_AFTER_S 600u /* a client waits no longer than this when told to */
#define LIMIT_ERROR_BYTES 1024u  /* of an error's text in an answer */
#define LIMIT_ANSWER_BYTES (64 * KIB)

/* Defaults of pcd's options. */
#define LIMIT_BODY_BYTES (8 * MIB)
#define LIMIT_DECODED_BYTES (64 * MIB)
#define LIMIT_MEASUREMENTS 100000u
#define LIMIT_TEXT_BYTES (16 * MIB)
#define LIMIT_SUBSYSTEM_BYTES 255u
#define LIMIT_NESTING 16u
#define LIMIT_HEADER_BYTES (6 * KIB)
#define LIMIT_CONNECTIONS 16000u

/* Of a delta state, fixed by the protocol. */
#define LIMIT_DELTA_SUBSYSTEMS 1024u
#define LIMIT_DELTA_STATE_BYTES (4 * MIB) /* of its texts, and for each column: */
#define LIMIT_DELTA_COLUMN_BYTES 8u
#define LIMIT_DELTA_WIDTH 255u /* of a column */
