/* train_options.c: what the options of training data are called. */
#include <string.h>
#include "train_data.h"

const char *const train_task_names[] = {"clm", "seqcls", "tokcls", "qa", NULL};
const char *const train_packing_names[] = {"auto", "none", "bfd", "bfd_split", "wrapped", "blocks", NULL};
const char *const train_order_names[] = {"shuffle", "file", NULL};
const char *const train_mask_names[] = {"assistant", "reply", "last", NULL};

int train_option(const char *const *names, const char *word) {
    for (int i = 0; names[i]; i++)
        if (!strcmp(names[i], word)) return i;
    return -1;
}
