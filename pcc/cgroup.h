/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The source `container/docker/...`: every Docker container that the kernel knows as a
 * cgroup (version 2), one measurement a container, named by the first 12 digits of its
 * id; the text is one JSON object. Numbers that the kernel doesn't have for a container
 * (a controller that is off) are 0, and so is a limit of `max`, as Docker itself shows
 * "no limit".
 *
 * Thread: sampler. Allocates nothing but room in the batch.
 */

#include "common/measurement.h"

/* Containers a tick; more are left out. */
#define CGROUP_CONTAINERS_MAX 512u

/**
 * cgroup_append() - append a measurement for each container
 * @root:    prefix of /sys/fs/cgroup; "" for none
 * @time_ns: the tick's timestamp
 *
 * A container that goes while it is read is left out.
 *
 * Return: 0, also if there is none; -errno if there is no /sys/fs/cgroup or it can't be
 *         read; E_TOO_LARGE; -ENOMEM: what was appended before stays.
 */
PC_MUST_CHECK int cgroup_append(const char *root, uint64_t time_ns, struct batch *b);
