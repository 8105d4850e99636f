/* curve.c: see curve.h. */
#include <math.h>
#include "curve.h"

void curve_add(Curve *c, double x, double y) {
    if (!isfinite(y)) return;
    if (c->each == 0) c->each = 1;
    if (c->in == 0 && c->count == CURVE_POINTS) { /* full: pairs become one */
        for (int i = 0; i < CURVE_POINTS / 2; i++)
            c->x[i] = c->x[2 * i + 1], c->y[i] = (c->y[2 * i] + c->y[2 * i + 1]) / 2;
        c->count = CURVE_POINTS / 2;
        c->each *= 2;
    }
    /* The point that is being made stands at the end already. */
    if (c->in == 0) c->sum = 0, c->count++;
    c->sum += y;
    c->in++;
    c->x[c->count - 1] = x;
    c->y[c->count - 1] = c->sum / (double)c->in;
    if (c->in == c->each) c->in = 0;
}

/* ---- The chart --------------------------------------------------------------------------------------------------- */

enum { WIDTH = 860, HEIGHT = 240, LEFT = 64, RIGHT = 12, TOP = 30, BOTTOM = 24, SMOOTHED_FROM = 40 };
enum { ROOM_X = WIDTH - LEFT - RIGHT, ROOM_Y = HEIGHT - TOP - BOTTOM };

typedef struct Scale {
    double low, high;
    bool logarithmic;
} Scale;

static void widen(Scale *s, const Curve *c) {
    for (int i = 0; c && i < c->count; i++) {
        if (c->y[i] < s->low) s->low = c->y[i];
        if (c->y[i] > s->high) s->high = c->y[i];
    }
}

static double at_x(const Chart *c, double x) { return LEFT + ROOM_X * x / (c->last > 0 ? c->last : 1); }

static double at_y(const Scale *s, double y) {
    double part = s->logarithmic ? log(y / s->low) / log(s->high / s->low) : (y - s->low) / (s->high - s->low);
    return TOP + ROOM_Y * (1 - part);
}

/* 1, 2 or 5 times a power of ten, at least `least`. */
static double nice(double least) {
    double power = pow(10, floor(log10(least)));
    return (least <= power ? 1 : least <= 2 * power ? 2 : least <= 5 * power ? 5 : 10) * power;
}

static void tick_y(const Scale *s, double y, Text *out) {
    double at = at_y(s, y);
    text_line(out, "<path class=\"grid\" d=\"M%d %.1fH%d\"/><text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.6g</text>",
              LEFT, at, WIDTH - RIGHT, LEFT - 6, at + 4, fabs(y) < 1e-12 * fabs(s->high) ? 0 : y);
}

static void axes(const Chart *c, const Scale *s, Text *out) {
    if (s->logarithmic)
        for (double power = pow(10, floor(log10(s->low))); power <= s->high; power *= 10) {
            if (power >= s->low) tick_y(s, power, out);
            if (s->high / s->low < 1000 && 3 * power >= s->low && 3 * power <= s->high) tick_y(s, 3 * power, out);
        }
    else {
        double step = nice((s->high - s->low) / 5);
        for (double y = ceil(s->low / step) * step; y <= s->high; y += step) tick_y(s, y, out);
    }
    double step = nice(fmax(c->last / 8, 1));
    for (double x = 0; x <= c->last; x += step)
        text_line(
            out,
            "<path class=\"grid\" d=\"M%.1f %dv%d\"/><text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.10g</text>",
            at_x(c, x), TOP, ROOM_Y, at_x(c, x), HEIGHT - 8, x);
}

static void polyline(const Chart *c, const Scale *s, const char *kind, bool smoothed, Text *out) {
    const Curve *l = c->line;
    double weight = smoothed ? 2.0 / (1 + l->count / 20.0) : 1, mean = 0;
    text_line(out, "<polyline class=\"%s\" points=\"", kind);
    for (int i = 0; i < l->count; i++) {
        mean = i ? mean + weight * (l->y[i] - mean) : l->y[0];
        text_line(out, "%.1f,%.1f ", at_x(c, l->x[i]), at_y(s, mean));
    }
    text_line(out, "\"/>");
}

/* Few points have dots with their numbers. */
static void dots(const Chart *c, const Scale *s, const Curve *of, const char *kind, const char *name, Text *out) {
    for (int i = 0; i < of->count; i++)
        text_line(out,
                  "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"><title>%s at step %.10g: %.6g</title></circle>",
                  kind, at_x(c, of->x[i]), at_y(s, of->y[i]), name, of->x[i], of->y[i]);
}

/* So that the file can be looked at alone. */
static const char style[] =
    "<style>text{font:12px "
    "system-ui,sans-serif;fill:#555}.grid{stroke:#8884;fill:none}.line,.faint{fill:none;stroke:#4e79a7;"
    "stroke-width:1.6}.faint{stroke-opacity:.35;stroke-width:1}.dot{fill:#4e79a7}.other{fill:#e15759}</style>";

void chart_svg(const Chart *c, Text *out) {
    Scale s = {INFINITY, -INFINITY, false};
    widen(&s, c->line), widen(&s, c->dots);
    if (!isfinite(s.low)) return;
    s.logarithmic = s.low > 0 && s.high > 30 * s.low;
    if (s.high - s.low <= 1e-9 * fabs(s.high)) s.low -= fabs(s.low) * 0.1 + 1e-9, s.high += fabs(s.high) * 0.1 + 1e-9;
    if (!s.logarithmic && s.low > 0 && s.low < 0.5 * s.high) s.low = 0;
    bool many = c->line->count >= SMOOTHED_FROM, smoothed = many && !c->exact;
    text_line(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" role=\"img\">%s", WIDTH, HEIGHT,
              style);
    text_line(out, "<text x=\"%d\" y=\"16\" font-weight=\"bold\">%s</text>", LEFT, c->title);
    axes(c, &s, out);
    if (c->line->count > 1) polyline(c, &s, smoothed ? "faint" : "line", false, out);
    if (smoothed) polyline(c, &s, "line", true, out);
    else if (!many) dots(c, &s, c->line, "dot", c->line_name, out);
    if (c->dots && c->dots->count) {
        dots(c, &s, c->dots, "other", c->dots_name, out);
        text_line(out, "<circle class=\"other\" cx=\"%d\" cy=\"12\" r=\"3\"/><text x=\"%d\" y=\"16\">%s</text>",
                  WIDTH - 120, WIDTH - 112, c->dots_name);
    }
    text_line(out, "</svg>\n");
}
