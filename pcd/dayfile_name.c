/* SPDX-License-Identifier: MIT */
#include "pcd/dayfile_name.h"

#include "common/hash.h"
#include "common/units.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define NAME_BYTES 24u

void dayfile_host_name(struct span identifier, char ret_name[DAYFILE_HOST_BYTES + 1])
{
    static const char hex[] = "0123456789ABCDEF";
    char full[LIMIT_IDENTIFIER_BYTES * 3 + 1];
    size_t n = 0;

    assert(identifier.n <= LIMIT_IDENTIFIER_BYTES);
    for (size_t i = 0; i < identifier.n; i++) {
        uint8_t c = identifier.data[i];
        bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                     (c >= '0' && c <= '9') || c == '_' || c == '-' ||
                     (c == '.' && i > 0);
        if (plain) {
            full[n++] = (char)c;
            continue;
        }
        full[n++] = '%';
        full[n++] = hex[c >> 4];
        full[n++] = hex[c & 15];
    }
    full[n] = 0;
    if (n <= DAYFILE_HOST_BYTES) {
        memcpy(ret_name, full, n + 1);
        return;
    }
    /* 17 bytes for ~ and the hash, which has no secret: names outlive the process. */
    size_t keep = DAYFILE_HOST_BYTES - 17;
    memcpy(ret_name, full, keep);
    (void)snprintf(ret_name + keep, 18, "~%016" PRIx64, hash_sip13(0, 0, identifier));
}

static void name_of_day(uint32_t day, char ret_name[NAME_BYTES])
{
    struct tm tm;
    char date[16];
    time_t seconds = (time_t)day * (time_t)(DAY / SEC);

    const struct tm *done = gmtime_r(&seconds, &tm);
    assert(done); /* a day fits in 32 bits, so its year in an int */
    (void)done;
    (void)strftime(date, sizeof date, "%Y-%m-%d", &tm);
    (void)snprintf(ret_name, NAME_BYTES, "%s.jsonl", date);
}

void dayfile_path(struct span identifier, uint32_t day, char ret_path[DAYFILE_PATH_BYTES])
{
    char host[DAYFILE_HOST_BYTES + 1];
    char name[NAME_BYTES];

    dayfile_host_name(identifier, host);
    name_of_day(day, name);
    (void)snprintf(ret_path, DAYFILE_PATH_BYTES, "%s/%s", host, name);
}

int dayfile_read_name(const char *name, uint32_t *ret_day)
{
    struct tm tm = {0};
    char again[NAME_BYTES];

    if (!strptime(name, "%Y-%m-%d", &tm))
        return E_MALFORMED;
    time_t seconds = timegm(&tm);
    if (seconds < 0 || (uint64_t)seconds / (DAY / SEC) > UINT32_MAX)
        return E_MALFORMED;
    uint32_t day = (uint32_t)((uint64_t)seconds / (DAY / SEC));
    name_of_day(day, again);
    if (strcmp(name, again) != 0)
        return E_MALFORMED;
    *ret_day = day;
    return 0;
}
