/* plan_svg.c: the mesh as a picture of 900 pixels: rows and columns of devices, in each its heads, its columns and its
 * memory. A colour means a kind of memory, or a query head, and nothing else. */
#include <string.h>
#include "../base/output.h"
#include "../io/names.h"
#include "plan.h"

enum {
    WIDTH = 900, MARGIN = 20, LEFT = 60, TOP = 92, /* of the page; left of the grid; above it */
    ACROSS = 8,                                    /* devices side by side at most            */
    GAP = 6, PAD = 7, LINE = 14, HEAD = 9, LABEL = 24, WIDEST = 260,
};

static const struct { const char *name, *colour; } memory_kinds[] = {
    {"weights", "#4e79a7"}, {"key/value cache", "#f28e2b"}, {"activations", "#59a14f"}};
static const char HEAD_COLOUR[] = "#595959";

typedef struct Picture {
    FILE *file;
    const Plan *plan;
    int rows, columns;       /* of the mesh                                       */
    int across, lines;       /* devices of a row side by side; lines that it takes */
    int wide, high;          /* of a device                                       */
    double most;             /* bytes of the fullest device                       */
} Picture;

static void xml_text(FILE *f, const char *text) {
    for (; *text; text++) {
        if (*text == '<') fputs("&lt;", f);
        else if (*text == '&') fputs("&amp;", f);
        else fputc(*text, f);
    }
}

static double nice_bytes(double bytes, const char **unit) {
    *unit = bytes >= 1024.0 * 1024 * 1024 ? "GiB" : "MiB";
    return bytes >= 1024.0 * 1024 * 1024 ? bytes / (1024.0 * 1024 * 1024) : bytes / (1024 * 1024);
}

/* Key/value heads stand side by side, each with the query heads that read it here, as many on a line as fit. Returns
 * how many lines they take; draws them where the picture has a file. */
static int heads(const Picture *p, int device, int x, int y, bool draw) {
    const Partition *of = &p->plan->partition;
    Range kv = partition_range(of, AXIS_KV_HEAD, device), group = partition_range(of, AXIS_GROUP, device);
    int64_t each = group.last - group.first;
    int room = p->wide - 2 * PAD, fit = (room - LABEL) / HEAD, at = 0, line = 0;
    if (fit < 1) fit = 1;
    for (int64_t k = kv.first; k < kv.last; k++) {
        int width = LABEL + (int)(each < fit ? each : fit) * HEAD + 4;
        if (at && at + width > room) at = 0, line++;
        if (draw)
            fprintf(p->file, "<text x=\"%d\" y=\"%d\">k%lld</text>\n", x + at, y + line * LINE + HEAD, (long long)k);
        for (int64_t i = 0; i < each; i++) {
            if (i && i % fit == 0) line++;
            if (draw)
                fprintf(p->file,
                        "<rect x=\"%lld\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"%s\"><title>key/value head %lld, "
                        "query head %lld of its group</title></rect>\n",
                        (long long)(x + at + LABEL + i % fit * HEAD), y + line * LINE + 1, HEAD - 2, HEAD - 2,
                        HEAD_COLOUR, (long long)k, (long long)(group.first + i));
        }
        at += width;
    }
    return line + 1;
}

static int head_lines(const Picture *p) {
    int most = 1;
    for (int d = 0; d < p->plan->partition.mesh.tp; d++) {
        int lines = heads(p, d, 0, 0, false);
        if (lines > most) most = lines;
    }
    return most;
}

static void device(const Picture *p, int d, int x, int y) {
    const Partition *of = &p->plan->partition;
    Range kv = partition_range(of, AXIS_KV_HEAD, d), ffn = partition_range(of, AXIS_FFN, d),
          vocab = partition_range(of, AXIS_VOCAB, d);
    DeviceBytes b = plan_bytes(p->plan, d);
    const double parts[] = {b.weights, b.cache, b.activations};
    int bar = p->wide - 2 * PAD, at = y + p->high - PAD - 10;
    double from = 0;
    const char *unit;
    fprintf(p->file,
            "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"#f7f7f7\" stroke=\"#999\"/>\n"
            "<text x=\"%d\" y=\"%d\" font-weight=\"bold\">device %d</text>\n",
            x, y, p->wide, p->high, x + PAD, y + LINE, d);
    if (kv.first == kv.last)
        fprintf(p->file, "<text x=\"%d\" y=\"%d\" fill=\"#666\">no heads</text>\n", x + PAD, y + 2 * LINE);
    else heads(p, d, x + PAD, y + LINE + 5, true);
    fprintf(p->file, "<text x=\"%d\" y=\"%d\">ffn %lld</text>\n<text x=\"%d\" y=\"%d\">vocab. %lld</text>\n", x + PAD,
            at - 8 - 2 * LINE, (long long)(ffn.last - ffn.first), x + PAD, at - 8 - LINE,
            (long long)(vocab.last - vocab.first));
    double all = nice_bytes(plan_all_bytes(b), &unit);
    fprintf(p->file, "<text x=\"%d\" y=\"%d\">%.*f %s</text>\n", x + PAD, at - 5, all < 10 ? 2 : 0, all, unit);
    for (int i = 0; i < 3; i++) {
        double w = bar * parts[i] / p->most, size = nice_bytes(parts[i], &unit);
        fprintf(p->file,
                "<rect x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"10\" fill=\"%s\"><title>%s: %.2f %s</title>"
                "</rect>\n",
                x + PAD + from, at, w, memory_kinds[i].colour, memory_kinds[i].name, size, unit);
        from += w;
    }
}

/* What colours and bars mean: the bar's scale is as long as a device's whole bar. */
static void legend(const Picture *p, int y) {
    int bar = p->wide - 2 * PAD, x = LEFT + PAD;
    const char *unit;
    double most = nice_bytes(p->most, &unit);
    fprintf(p->file, "<text x=\"%d\" y=\"%d\">0</text>\n<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%.*f %s</text>\n",
            x, y, x + bar, y, most < 10 ? 2 : 0, most, unit);
    fprintf(p->file, "<path d=\"M%d %dv8M%d %dv5M%d %dv8M%d %dh%d\" stroke=\"#333\" fill=\"none\"/>\n", x, y + 4,
            x + bar / 2, y + 7, x + bar, y + 4, x, y + 12, bar);
    fprintf(p->file, "<text x=\"%d\" y=\"%d\">scale of the bars: memory of a device, the fullest one's at full length"
            "</text>\n", x + bar + 12, y + 10);
    y += 36;
    for (int i = 0; i < 3; i++, x += 130)
        fprintf(p->file, "<rect x=\"%d\" y=\"%d\" width=\"12\" height=\"12\" fill=\"%s\"/><text x=\"%d\" y=\"%d\">%s"
                "</text>\n",
                x, y - 10, memory_kinds[i].colour, x + 17, y, memory_kinds[i].name);
    fprintf(p->file, "<text x=\"%d\" y=\"%d\">k0</text><rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"%s\"/>"
            "<text x=\"%d\" y=\"%d\">a key/value head and the query heads that read it there</text>\n",
            x, y, x + 20, y - 8, HEAD - 2, HEAD - 2, HEAD_COLOUR, x + 34, y);
}

static void page(Picture *p) {
    const ModelConfig *c = &p->plan->config;
    const Mesh *mesh = &p->plan->partition.mesh;
    int grid = p->rows * p->lines * (p->high + GAP) + (p->rows - 1) * GAP * (p->lines > 1), height = TOP + grid + 70;
    fprintf(p->file,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" "
            "font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n"
            "<text x=\"%d\" y=\"28\" font-size=\"16\" font-weight=\"bold\">",
            WIDTH, height, WIDTH, height, MARGIN);
    xml_text(p->file, name_text(c->architecture, strlen(c->architecture)).text);
    fprintf(p->file, ", %lld layers, on mesh %s: who holds what</text>\n", (long long)c->layers, mesh->text);
    fprintf(p->file, "<text x=\"%d\" y=\"50\">", MARGIN);
    if (mesh->dp > 1) fprintf(p->file, "one of %d replicas, all alike; ", mesh->dp);
    fprintf(p->file, "%lld query and %lld key/value heads, %lld ffn columns, vocabulary of %lld; weights ",
            (long long)c->heads, (long long)c->kv_heads, (long long)c->ffn, (long long)c->vocab);
    xml_text(p->file, p->plan->weights);
    fprintf(p->file, "</text>\n");
    for (int i = 0; i < p->across; i++)
        fprintf(p->file, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\" fill=\"#555\">%s %d</text>\n",
                LEFT + i * (p->wide + GAP) + p->wide / 2, TOP - 8, p->lines > 1 ? "from column" : "column", i);
    int y = TOP;
    for (int r = 0; r < p->rows; r++, y += GAP * (p->lines > 1)) {
        fprintf(p->file, "<text x=\"%d\" y=\"%d\" fill=\"#555\">row %d</text>\n", MARGIN, y + LINE, r);
        for (int i = 0; i < p->columns; i++) {
            device(p, r * p->columns + i, LEFT + i % p->across * (p->wide + GAP), y);
            if (i % p->across == p->across - 1 || i == p->columns - 1) y += p->high + GAP;
        }
    }
    legend(p, TOP + grid + 18);
    fprintf(p->file, "</svg>\n");
}

bool plan_picture(const Plan *plan, const char *path, Err *err) {
    const Mesh *mesh = &plan->partition.mesh;
    Picture p = {.plan = plan, .rows = 1, .columns = mesh->tp, .most = 1};
    if (mesh->dp == 1 && mesh->rank == 2) p.rows = mesh->dim[0], p.columns = mesh->dim[1];
    p.lines = (p.columns + ACROSS - 1) / ACROSS;
    p.across = (p.columns + p.lines - 1) / p.lines;
    p.wide = (WIDTH - LEFT - MARGIN - (p.across - 1) * GAP) / p.across;
    if (p.wide > WIDEST) p.wide = WIDEST;
    p.high = (head_lines(&p) + 4) * LINE + 10 + PAD + 12;
    for (int d = 0; d < mesh->tp; d++)
        if (plan_all_bytes(plan_bytes(plan, d)) > p.most) p.most = plan_all_bytes(plan_bytes(plan, d));
    Output out;
    if (!output_open(&out, path, err)) return false;
    p.file = out.file;
    page(&p);
    return output_end(&out, true, err);
}
