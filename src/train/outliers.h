/* outliers.h: which losses and gradient norms are far from those of the steps before. */
#ifndef OUTLIERS_H
#define OUTLIERS_H
#include "../base/base.h"

/* Judged from OUTLIERS_LEAST numbers on, against the last OUTLIER_WINDOW. */
enum { OUTLIER_WINDOW = 128, OUTLIERS_LEAST = 32 };

/* The last numbers, the oldest at `begin`. Zeroed: none yet. */
typedef struct OutlierWindow { double value[OUTLIER_WINDOW]; int count, begin; } OutlierWindow;

/* Numbers that are not finite are left out. */
void outliers_add(OutlierWindow *w, double value);
/* The i-th, from the oldest on. */
double outliers_at(const OutlierWindow *w, int i);
/* Mean plus z standard deviations; 0: nothing is judged yet, or all are the same. Sums go from the oldest on. */
double outliers_limit(const OutlierWindow *w, double z);
#endif
