/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The callbacks of libmicrohttpd, and which request goes where. Thread: the worker that
 * owns the connection; @cls is its struct worker.
 */

#include <microhttpd.h>

/* A connection began or ended. */
void route_connection(void *cls, struct MHD_Connection *mhd, void **context,
                      enum MHD_ConnectionNotificationCode what);
/* A request line has come. Return: the request, for the others; NULL without memory. */
void *route_request_line(void *cls, const char *uri, struct MHD_Connection *mhd);
/* The head has come; then each part of the body; then the whole, and after a resume. */
enum MHD_Result route_handle(void *cls, struct MHD_Connection *mhd, const char *url,
                             const char *method, const char *version, const char *part,
                             size_t *part_n, void **request);
/* A request is over, one way or another. */
void route_completed(void *cls, struct MHD_Connection *mhd, void **request,
                     enum MHD_RequestTerminationCode how);
