/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The thread that may block: takes sealed batches from the outbox, hands them to
 * delivery, appends them to the collection file, and logs what the sampler has noted.
 * Ticks from before the clock was set wait here (pcc/early.h): under a limit, past which
 * and at the end the collection gets them with times of 1970, and the server a gap.
 */

#include "pcc/collection.h"
#include "pcc/counters.h"
#include "pcc/delivery.h"
#include "pcc/outbox.h"
#include "pcc/source.h"
#include "pcc/status.h"
#include "pcc/status_socket.h"
#include "pcc/tracker.h"

struct sender;

/* All borrowed until sender_stop(). */
struct sender_parts {
    struct outbox *outbox;
    struct sources *sources;
    struct counters *counters;
    struct collection *collection; /* or NULL */
    struct delivery *delivery;     /* or NULL */
    struct tracker *tracker;       /* or NULL */
    struct status_socket *status;  /* or NULL */
    const struct status *about;    /* what the sender doesn't know of it; or NULL */
    uint64_t interval_ns;          /* between two ticks */
    uint64_t early_max_bytes;      /* of ticks held until the clock is set */
};

/* Starts the thread. Return: 0, and gives *ret for sender_stop(); -ENOMEM; -errno. */
PC_MUST_CHECK int sender_start(const struct sender_parts *parts, struct sender **ret);

/* Has the thread read its key file again (delivery.h). From any thread; takes NULL. */
void sender_reload(struct sender *s);

/**
 * sender_stop() - deliver what is sealed, then end the thread and free the sender
 * @within_ns: how long to wait for the server at most
 *
 * The sampler must have ended. NULL is fine.
 *
 * Return: how many measurements are lost because neither the server nor the spool has
 *         them at its end.
 */
uint64_t sender_stop(struct sender *s, uint64_t within_ns);
