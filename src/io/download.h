/* download.h: one file of the hub, brought whole and verified or not at all. */
#ifndef DOWNLOAD_H
#define DOWNLOAD_H
#include "http.h"
#include "hub.h"

typedef enum Downloaded { DOWNLOAD_FAILED, DOWNLOAD_KEPT, DOWNLOAD_DONE } Downloaded;

/* Brings `file` from `url` to `path`, whose folder exists. KEPT: `path` was there with the right size and hash.
 * The bytes gather in "<path>.part", which an interrupted or failed transfer leaves and the next one continues. Lost
 * connections are tried again as long as some attempts bring something. `path` appears by a rename once the size and
 * the hash are right; with a wrong hash the part is removed. The watch is shown the way. */
Downloaded download_file(Http *http, const char *url, const HubFile *file, const char *path, Err *err);
#endif
