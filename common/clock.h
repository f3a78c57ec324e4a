/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The clocks, and random numbers. Only loops read them; what can be tested without
 * waiting takes a time or a number as an argument.
 */

#include <stdint.h>

/* Nanoseconds since boot, without jumps, counting on in suspend (CLOCK_BOOTTIME). */
uint64_t clock_boot_ns(void);
/* Nanoseconds since some fixed moment, without jumps; stands still in suspend
 * (CLOCK_MONOTONIC). For waits and durations. */
uint64_t clock_monotonic_ns(void);
/* Nanoseconds since the Unix epoch, UTC (CLOCK_REALTIME). */
uint64_t clock_wall_ns(void);
/* 64 random bits from the kernel (getrandom(2)). */
uint64_t clock_random_u64(void);
