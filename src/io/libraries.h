/* libraries.h: the libraries that do not survive a failed allocation, or that prepare themselves at their first use. */
#ifndef LIBRARIES_H
#define LIBRARIES_H

/* For main, before threads and before any of them is used: jansson and OpenSSL take their memory from guard.h and
 * OpenSSL is ready. Without it (a program that only links the library) they take it from malloc. */
void libraries_start(void);
/* The same for libcurl; before http_new. */
void libraries_start_http(void);
#endif
