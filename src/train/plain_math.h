/* plain_math.h: functions made of additions, products and quotients alone, whose bits are the same wherever they are
 * compiled. The mathematical library's are those of its version, and of the processor. */
#ifndef PLAIN_MATH_H
#define PLAIN_MATH_H

double plain_sin_pi(double x); /* sin(pi x), |x| <= 1/2, to an ulp of 1 */
double plain_log(double x);    /* x > 0, normal, to a few ulps          */
#endif
