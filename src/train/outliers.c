/* outliers.c: see outliers.h. */
#include <math.h>
#include "outliers.h"

void outliers_add(OutlierWindow *w, double value) {
    if (!isfinite(value)) return;
    w->value[(w->begin + w->count) % OUTLIER_WINDOW] = value;
    if (w->count < OUTLIER_WINDOW) w->count++;
    else w->begin = (w->begin + 1) % OUTLIER_WINDOW;
}

double outliers_at(const OutlierWindow *w, int i) { return w->value[(w->begin + i) % OUTLIER_WINDOW]; }

double outliers_limit(const OutlierWindow *w, double z) {
    double sum = 0, squares = 0;
    if (w->count < OUTLIERS_LEAST) return 0;
    for (int i = 0; i < w->count; i++) sum += outliers_at(w, i);
    double mean = sum / w->count;
    for (int i = 0; i < w->count; i++) {
        double d = outliers_at(w, i) - mean;
        squares += d * d;
    }
    return squares > 0 ? mean + z * sqrt(squares / w->count) : 0;
}
