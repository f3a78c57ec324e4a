/* SPDX-License-Identifier: MIT */

/*
 * The least program that speaks HTTP by libcurl: one request, answer passed over, then
 * it sleeps with the connection open. What pcc's memory is compared with.
 *
 *     empty_curl URL
 */

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static size_t pass_over(char *data, size_t size, size_t n, void *arg)
{
    (void)data;
    (void)arg;
    return size * n;
}

int main(int argc, char **argv)
{
    if (argc < 2 || curl_global_init(CURL_GLOBAL_DEFAULT))
        return EXIT_FAILURE;
    CURL *easy = curl_easy_init();
    if (!easy)
        return EXIT_FAILURE;
    (void)curl_easy_setopt(easy, CURLOPT_URL, argv[1]);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, pass_over);
    CURLcode code = curl_easy_perform(easy);
    fprintf(stderr, "empty_curl: %s\n", curl_easy_strerror(code));
    for (;;)
        (void)pause();
}
