/* train_page.h: a run as one page of HTML that needs nothing else: its curves, what it was told, where it stands. It is
 * written anew, whole or not at all, while the run goes on, and asks browsers to read it again until it ends. */
#ifndef TRAIN_PAGE_H
#define TRAIN_PAGE_H
#include "curve.h"
#include "train_loop.h"

enum { PAGE_SECONDS = 5 }; /* between two writings */

/* title: what is trained. settings: NAME=VALUE lines. Both are copied. NULL on error: also where nothing can be written
 * there. */
typedef struct TrainPage TrainPage;
TrainPage *train_page_open(const char *path, const char *title, const char *settings, Err *err);
/* A page that cannot be written is a warning, once: a run is worth more. */
void train_page_tell(TrainPage *page, const TrainEvent *event);
/* What an earlier run did: counted in the curves, but not in the speed. */
void train_page_earlier(TrainPage *page, const TrainEvent *event);
/* The last page, which says how it ended ("done", "interrupted", an error). NULL is none. */
void train_page_close(TrainPage *page, const char *how);
#endif
