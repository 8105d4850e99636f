/* exp_minimax.c: the coefficients of exp_f32 in src/ops/kernels.c. Remez exchange for
 *     e^r ~ 1 + r + r^2 (c2 + c3 r + c4 r^2 + c5 r^3 + c6 r^4),   |r| <= ln 2 / 2 (a little more, for the rounding of
 * n), least maximal relative error; then the coefficients are rounded to f32 one after another, the rest fitted again
 * each time.    cc -O2 dev/exp_minimax.c -o build/exp_minimax -lm && build/exp_minimax */
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { FIRST = 2, LAST = 6, COEFFICIENTS = LAST - FIRST + 1 };
static const long double bound = 0.34660L;

static long double error_at(const long double *c, long double r) {
    long double p = 0;
    for (int i = LAST; i >= 0; i--) p = p * r + c[i];
    return p / expl(r) - 1;
}

/* Solves the n x n system a x = b by elimination with pivots. */
static void solve(int n, long double a[8][8], long double *b, long double *x) {
    for (int c = 0; c < n; c++) {
        int best = c;
        for (int r = c + 1; r < n; r++)
            if (fabsl(a[r][c]) > fabsl(a[best][c])) best = r;
        for (int i = 0; i < n; i++) { long double t = a[c][i]; a[c][i] = a[best][i]; a[best][i] = t; }
        long double t = b[c]; b[c] = b[best]; b[best] = t;
        for (int r = c + 1; r < n; r++) {
            long double f = a[r][c] / a[c][c];
            for (int i = c; i < n; i++) a[r][i] -= f * a[c][i];
            b[r] -= f * b[c];
        }
    }
    for (int r = n - 1; r >= 0; r--) {
        x[r] = b[r];
        for (int i = r + 1; i < n; i++) x[r] -= a[r][i] * x[i];
        x[r] /= a[r][r];
    }
}

/* Fits coefficients from `from` on; those below are fixed. Returns the largest relative error. */
static long double fit(long double *c, int from) {
    int n = LAST - from + 1;
    long double points[8];
    for (int i = 0; i <= n; i++) points[i] = -bound * cosl(acosl(-1) * (i + 0.5L) / (n + 1));
    for (int round = 0; round < 60; round++) {
        long double a[8][8], b[8], x[8];
        for (int i = 0; i <= n; i++) {
            long double r = points[i], e = expl(r), known = 0;
            for (int j = from - 1; j >= 0; j--) known = known * r + c[j];
            for (int j = 0; j < n; j++) a[i][j] = powl(r, from + j) / e;
            a[i][n] = i % 2 ? 1 : -1;
            b[i] = 1 - known / e;
        }
        solve(n + 1, a, b, x);
        for (int j = 0; j < n; j++) c[from + j] = x[j];
        /* The new points: the largest error of each sign run over a fine grid. */
        int runs = 0;
        long double top = 0, at = 0;
        enum { GRID = 40000 };
        for (int g = 0; g <= GRID; g++) {
            long double r = -bound + 2 * bound * g / GRID, e = error_at(c, r);
            if (e * top < 0) {
                if (runs < 8) points[runs++] = at;
                top = 0;
            }
            if (fabsl(e) > fabsl(top)) { top = e; at = r; }
        }
        if (runs < 8) points[runs++] = at;
        if (runs < n + 1) break;
    }
    long double worst = 0;
    for (int g = 0; g <= 100000; g++) worst = fmaxl(worst, fabsl(error_at(c, -bound + 2 * bound * g / 100000)));
    return worst;
}

int main(void) {
    long double c[LAST + 1] = {1, 1};
    printf("unrounded: relative error %.3Lg (f32 half ulp %.3g)\n", fit(c, FIRST), ldexp(1, -25));
    for (int i = FIRST; i <= LAST; i++) {
        c[i] = (float)c[i];
        long double worst = i < LAST ? fit(c, i + 1) : 0;
        printf("c%d = %af   %.9g   error with the rest fitted %.3Lg\n", i, (double)c[i], (double)c[i], worst);
    }
    long double worst = 0;
    for (int g = 0; g <= 100000; g++) worst = fmaxl(worst, fabsl(error_at(c, -bound + 2 * bound * g / 100000)));
    printf("rounded: relative error %.3Lg\n", worst);
    return 0;
}
