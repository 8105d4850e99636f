/* curve.h: numbers over the steps of a run, few enough to be drawn however long it is, and charts of them as SVG. */
#ifndef CURVE_H
#define CURVE_H
#include "../base/base.h"

/* Points of a curve at most: when it is full, neighbours become one, their mean. */
enum { CURVE_POINTS = 1024 };

typedef struct Curve {
    double x[CURVE_POINTS], y[CURVE_POINTS];
    int count;
    int64_t each;     /* numbers that a point stands for; 0 is 1 */
    double sum;       /* of the point that is being made, */
    int64_t in;       /* so many numbers                  */
} Curve;

/* x does not fall. What is not finite is left out. */
void curve_add(Curve *c, double x, double y);

/* One chart: `line` as it is and, unless `exact`, smoothed, and `dots` over it where there are any (NULL: none). The y
 * axis is logarithmic where the numbers span more than a factor of 30. x from 0 to `last`. */
typedef struct Chart {
    const char *title, *line_name, *dots_name;
    const Curve *line, *dots;
    double last;
    bool exact;
} Chart;

/* An <svg> element for a page, or, alone, a file. Nothing where there are no points. */
void chart_svg(const Chart *chart, Text *out);
#endif
