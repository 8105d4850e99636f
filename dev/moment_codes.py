#!/usr/bin/env python3
# moment_codes.py: how far 100 steps of AdamW, of gradients whose sizes differ between weights, are off with moments in 8 bits,
# blocks of 256: the codes of src/ops/codes8.h, the dynamic ones of Dettmers et al. 2021 (as bitsandbytes'
# create_dynamic_map makes them), and linear ones. Needs numpy.
import numpy

WEIGHTS, STEPS, BLOCK = 1 << 16, 100, 256


def dynamic(signed):
    codes = [0.0, 1.0]
    for i in range(7):
        edges = numpy.linspace(0.1, 1, 2 ** i + 1 if signed else 2 ** (i + 1) + 1)
        means = 10.0 ** (i - 6) * (edges[:-1] + edges[1:]) / 2
        codes += list(means) + (list(-means) if signed else [])
    return numpy.sort(numpy.array(codes))


def nearest(x, codes):
    i = numpy.clip(numpy.searchsorted(codes, x), 1, len(codes) - 1)
    return numpy.where(x - codes[i - 1] <= codes[i] - x, codes[i - 1], codes[i])


def blocks(x, code):
    y = x.reshape(-1, BLOCK)
    scale = numpy.abs(y).max(1, keepdims=True)
    return (code(y / scale) * scale).reshape(x.shape)


signed, unsigned = dynamic(True), dynamic(False)
kinds = {
    "codes8.h": (lambda r: numpy.sign(r) * (numpy.rint(127 * numpy.sqrt(numpy.abs(r))) / 127) ** 2,
                 lambda r: (numpy.maximum(numpy.rint(255 * r ** 0.25), r > 0) / 255) ** 4),
    "dynamic": (lambda r: nearest(r, signed), lambda r: nearest(r, unsigned)),
    "linear": (lambda r: numpy.rint(127 * r) / 127, lambda r: numpy.rint(255 * r) / 255),
}
for spread in (0.5, 1.0, 2.0):
    size = numpy.exp(numpy.random.default_rng(1).normal(0, spread, WEIGHTS))
    for name, (first, second) in kinds.items():
        draws = numpy.random.default_rng(2)
        m, v, coded_m, coded_v = (numpy.zeros(WEIGHTS) for _ in range(4))
        wrong = all_of = 0.0
        for t in range(1, STEPS + 1):
            g = size * (draws.normal(0, 1, WEIGHTS) + 0.3)
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
            a, b = 0.9 * coded_m + 0.1 * g, 0.999 * coded_v + 0.001 * g * g
            update, coded = (x / (1 - 0.9 ** t) / (numpy.sqrt(y / (1 - 0.999 ** t)) + 1e-8) for x, y in ((m, v), (a, b)))
            coded_m, coded_v = blocks(a, first), blocks(b, second)
            wrong, all_of = wrong + ((update - coded) ** 2).sum(), all_of + (update ** 2).sum()
        print(f"sizes of gradients e^({spread} normal), {name}: updates off by {100 * (wrong / all_of) ** 0.5:.3g} %")
