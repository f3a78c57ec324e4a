/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Where the system's certificate authorities are, for a pcc that runs on any system: its
 * libcurl knows no place of its own. Others have theirs from the distribution's libcurl.
 */

/**
 * ca_bundle_find() - the system's file of certificate authorities
 *
 * Return: the file that SSL_CERT_FILE names, or else the first of the places where
 *         distributions keep it that can be read; NULL where there is none. It lives as
 *         long as the environment stays as it is.
 */
const char *ca_bundle_find(void);
