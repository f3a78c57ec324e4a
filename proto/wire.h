/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The names that travel between client and server: routes, headers, members and
 * media types. Nothing else in the code spells one of them out.
 */

/* Routes. */
#define WIRE_PING "/v1/ping"
#define WIRE_TRICKLE "/v1/trickle"
#define WIRE_HEALTHZ "/healthz"
#define WIRE_READYZ "/readyz"
#define WIRE_METRICS "/metrics"

/* Request headers. */
#define WIRE_HOST "Host"
#define WIRE_APIKEY "apikey"
#define WIRE_AUTHORIZATION "Authorization"
#define WIRE_BEARER "Bearer "
#define WIRE_IDEMPOTENCY_KEY "Idempotency-Key"
#define WIRE_IDEMPOTENCY_FLOOR "Idempotency-Floor"
#define WIRE_ACCEPT "Accept"
#define WIRE_CONTENT_TYPE "Content-Type"
#define WIRE_CONTENT_ENCODING "Content-Encoding"
#define WIRE_CONTENT_LENGTH "Content-Length"
#define WIRE_TRANSFER_ENCODING "Transfer-Encoding"
#define WIRE_CHUNKED "chunked"

/* Answer headers. */
#define WIRE_ACCEPT_POST "Accept-Post"
#define WIRE_ACCEPT_ENCODING "Accept-Encoding"
#define WIRE_REPLAYED "Idempotent-Replayed"
#define WIRE_STORED "Measurements-Stored"
#define WIRE_RETRY_AFTER "Retry-After"
#define WIRE_ALLOW "Allow"
#define WIRE_WWW_AUTHENTICATE "WWW-Authenticate"
#define WIRE_CONNECTION "Connection"

/* Media types and codings. */
#define WIRE_TYPE_JSON "application/json"
#define WIRE_TYPE_MSGPACK "application/msgpack"
#define WIRE_TYPE_DELTA "application/vnd.perfcollector.delta+msgpack"
#define WIRE_TYPE_TEXT "text/plain; charset=utf-8"
#define WIRE_TYPE_PROMETHEUS "text/plain; version=0.0.4; charset=utf-8"
#define WIRE_CODING_IDENTITY "identity"
#define WIRE_CODING_GZIP "gzip"
#define WIRE_CODING_DEFLATE "deflate"

/* Other names of the same that are taken, never written. */
#define WIRE_TYPE_TEXT_JSON "text/json"
#define WIRE_TYPE_X_MSGPACK "application/x-msgpack"
#define WIRE_TYPE_VND_MSGPACK "application/vnd.msgpack"
#define WIRE_CODING_X_GZIP "x-gzip"

/* TrickleRequest: members as JSON, keys as MessagePack. */
#define WIRE_JSON_IDENTIFIER "identifier"
#define WIRE_JSON_MEASUREMENTS "measurements"
#define WIRE_MSGPACK_IDENTIFIER "i"
#define WIRE_MSGPACK_MEASUREMENTS "m"

/* A measurement: members as JSON; MessagePack as the Go encoder writes them. */
#define WIRE_TIMESTAMP "timestamp"
#define WIRE_SUBSYSTEM "subsystem"
#define WIRE_MEASUREMENT "measurement"
#define WIRE_NANOSECONDS "nanoseconds"
#define WIRE_BYTES "bytes"
#define WIRE_GO_TIMESTAMP "Timestamp"
#define WIRE_GO_SUBSYSTEM "Subsystem"
#define WIRE_GO_MEASUREMENT "Measurement"
#define WIRE_GO_NANOSECONDS "Nanoseconds"

/* DeltaTrickleRequest: its keys, and the streams that its groups read from. */
#define WIRE_DELTA_VERSION "v"
#define WIRE_DELTA_IDENTIFIER "i"
#define WIRE_DELTA_SNAPSHOT "ss"
#define WIRE_DELTA_BATCH "q"
#define WIRE_DELTA_TICK "k"
#define WIRE_DELTA_HEADER "h"
#define WIRE_DELTA_BASE_TIME "bt"
#define WIRE_DELTA_SECONDS "to"
#define WIRE_DELTA_NANOSECONDS "tn"
#define WIRE_DELTA_ORDER "o"
#define WIRE_DELTA_GROUPS "m"
#define WIRE_DELTA_SHAPES "sh"
#define WIRE_DELTA_BASE_VALUES "bv"
#define WIRE_DELTA_PREDICTORS "pr"
#define WIRE_DELTA_BITMAPS "cb"
#define WIRE_DELTA_CHANGES "ch"
#define WIRE_DELTA_RAW "rw"

/* The subsystems whose numbers every delta state begins with, 0 first. */
#define WIRE_DELTA_WELL_KNOWN                                                            \
    "/proc/stat", "/proc/meminfo", "/proc/net/dev", "/proc/diskstats", "statfs[*]",      \
        "pcc/gap", "pcd/gap", "/proc/cpuinfo", "/proc/loadavg", "/proc/vmstat",          \
        "/proc/net/snmp", "/proc/net/netstat", "/proc/interrupts", "/proc/pressure/cpu", \
        "/proc/pressure/memory", "/proc/pressure/io"

/* The error of a batch whose state is not there (409). */
#define WIRE_ERROR_SNAPSHOT "snapshot required"

/* TrickleResponse. */
#define WIRE_JSON_ERROR "error"
#define WIRE_MSGPACK_ERROR "e"

/* Ping. */
#define WIRE_ORIGIN_TIMESTAMP "origintimestamp"

/* Subsystems that the two programs themselves make. */
#define WIRE_SUBSYSTEM_PCC_GAP "pcc/gap"
#define WIRE_SUBSYSTEM_PCD_GAP "pcd/gap"

/* Members of their texts. */
#define WIRE_GAP_KIND "kind"
#define WIRE_GAP_FROM "from"
#define WIRE_GAP_TO "to"
#define WIRE_GAP_TICKS "ticks"
#define WIRE_GAP_MEASUREMENTS "measurements"
#define WIRE_GAP_REASON "reason"
