/* plain_math.c: see plain_math.h. */
#include <math.h>
#include "plain_math.h"

double plain_sin_pi(double x) { /* Taylor's series: the terms below 1e-20 are left out */
    const double z = 3.141592653589793 * x, square = z * z;
    double term = z, sum = 0;
    for (int i = 1; i < 27; i += 2) {
        sum += term;
        term = -term * square / (double)((i + 1) * (i + 2));
    }
    return sum;
}

double plain_log(double x) { /* log(m 2^e) = 2 artanh((m - 1) / (m + 1)) + e log 2, m from sqrt(1/2) to sqrt(2) */
    int e;
    double m = frexp(x, &e);
    if (m < 0.70710678118654752) m *= 2, e--;
    double s = (m - 1) / (m + 1), square = s * s, power = s, sum = 0;
    for (int i = 1; i < 27; i += 2) {
        sum += power / i;
        power *= square;
    }
    return 2 * sum + e * 0.69314718055994531;
}
