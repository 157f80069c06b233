/* An answer to a browser, or to any HTTP client: what this connection proved about both ends, as a page or as text. */
#ifndef SIGNET_EXAMPLES_PAGE_H
#define SIGNET_EXAMPLES_PAGE_H

#include <openssl/ssl.h>
#include <stdbool.h>

/* page_wanted tells whether a first line is that of an HTTP request that we answer (GET and HEAD). */
bool page_wanted(const char *line);

/* page_make is the whole response to a request (its first line and headers), to be freed; NULL: no memory. HTML where
 * the request accepts it. */
char *page_make(SSL *ssl, const char *request);

#endif
