"""A jitted training step of JAX on XLA CPU at a shape with random f32 weights, over virtual devices: data-parallel and
tensor-parallel: forward, backward, clip by the global norm, AdamW, donated; parameters and moments are sharded as GSPMD
likes them: columns of column-parallel matrices, rows of the others, rows of the vocabulary. Prints what the first step took,
then one line a step: its seconds, its loss, and the processors' seconds.
Usage: peer_train_jax.py CONFIG.json BATCH SEQ STEPS MESH, which is a number of devices, or dp2,tp4"""
import json
import os
import re
import sys
import time

settings = json.load(open(sys.argv[1]))
batch, seq, steps = map(int, sys.argv[2:5])
replicas, devices = map(int, (re.fullmatch(r"(?:dp(\d+),tp)?(\d+)", sys.argv[5])).groups("1"))
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=%d" % (replicas * devices)
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P

hidden, ffn, layers = (settings[k] for k in ("hidden_size", "intermediate_size", "num_hidden_layers"))
heads, kv, vocab = (settings[k] for k in ("num_attention_heads", "num_key_value_heads", "vocab_size"))
tied, bias = settings.get("tie_word_embeddings", False), settings["model_type"].startswith("qwen2")
channels = hidden // heads
mesh = Mesh(np.array(jax.devices()).reshape(replicas, devices), ("dp", "tp"))
rng = np.random.default_rng(0)


def place(values, dim):
    """Split along a dimension where the devices of a replica divide it; else a copy on each."""
    parts = [None] * values.ndim
    if dim is not None and values.shape[dim] % devices == 0:
        parts[dim] = "tp"
    return jax.device_put(values, NamedSharding(mesh, P(*parts)))


def weight(dim, *shape):
    return place(rng.standard_normal(shape, dtype=np.float32) * np.float32(0.02), dim)


def layer():
    ones, heads_split, kv_split = np.ones(hidden, np.float32), 1 if heads % devices == 0 else None, 1 if kv % devices == 0 else None
    w = dict(n1=place(ones, None), n2=place(ones, None), q=weight(heads_split, hidden, hidden),
             k=weight(kv_split, hidden, kv * channels), v=weight(kv_split, hidden, kv * channels),
             o=weight(0 if heads_split else None, hidden, hidden), g=weight(1, hidden, ffn), u=weight(1, hidden, ffn),
             d=weight(0, ffn, hidden))
    if bias:
        for name, width in (("bq", hidden), ("bk", kv * channels), ("bv", kv * channels)):
            w[name] = place(np.zeros(width, np.float32), None)
    return w


params = dict(embed=weight(0, vocab, hidden), norm=place(np.ones(hidden, np.float32), None), layers=[layer() for _ in range(layers)])
if not tied:
    params["head"] = weight(0, vocab, hidden)
zeros = lambda: jax.tree.map(lambda x: jax.device_put(np.zeros(x.shape, np.float32), x.sharding), params)
moments = (zeros(), zeros())


def norm(x, gain):
    return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-6) * gain


frequencies = 1e6 ** (-np.arange(channels // 2, dtype=np.float32) / (channels // 2))
angles = np.arange(seq, dtype=np.float32)[:, None] * frequencies
cosine, sine = np.cos(angles)[:, None], np.sin(angles)[:, None]


def rope(x):
    a, b = jnp.split(x, 2, -1)
    return jnp.concatenate([a * cosine - b * sine, b * cosine + a * sine], -1)


def loss_of(p, ids):
    x = p["embed"][ids]
    mask = np.tril(np.ones((seq, seq), bool))
    for l in p["layers"]:
        h = norm(x, l["n1"])
        with_bias = (lambda y, name: y + l[name]) if bias else (lambda y, name: y)
        q = rope(with_bias(h @ l["q"], "bq").reshape(batch, seq, heads, channels)).reshape(batch, seq, kv, heads // kv, channels)
        k = rope(with_bias(h @ l["k"], "bk").reshape(batch, seq, kv, channels))
        v = with_bias(h @ l["v"], "bv").reshape(batch, seq, kv, channels)
        scores = jnp.where(mask, jnp.einsum("btkgd,bskd->bkgts", q, k) / channels**0.5, -1e30)
        a = jnp.einsum("bkgts,bskd->btkgd", jax.nn.softmax(scores, -1), v).reshape(batch, seq, hidden)
        x = x + a @ l["o"]
        h = norm(x, l["n2"])
        x = x + (jax.nn.silu(h @ l["g"]) * (h @ l["u"])) @ l["d"]
    logits = norm(x, p["norm"]) @ p.get("head", p["embed"]).T
    logits, labels = logits[:, :-1], ids[:, 1:]
    return (jax.nn.logsumexp(logits, -1) - jnp.take_along_axis(logits, labels[..., None], -1)[..., 0]).mean()


def step(p, m, v, ids, number):
    loss, g = jax.value_and_grad(loss_of)(p, ids)
    total = jnp.sqrt(sum(jnp.sum(x * x) for x in jax.tree.leaves(g)))
    clip, rate = jnp.minimum(1, 1 / (total + 1e-6)), 1e-4
    m = jax.tree.map(lambda a, x: 0.9 * a + 0.1 * clip * x, m, g)
    v = jax.tree.map(lambda a, x: 0.999 * a + 0.001 * (clip * x) ** 2, v, g)
    c1, c2 = 1 - 0.9**number, 1 - 0.999**number
    p = jax.tree.map(lambda w, a, b: w - rate * (a / c1 / (jnp.sqrt(b / c2) + 1e-8)), p, m, v)
    return p, m, v, loss


keep = jax.tree.map(lambda x: x.sharding, params)
run = jax.jit(step, donate_argnums=(0, 1, 2), out_shardings=(keep, keep, keep, None))
ids = jax.device_put(((np.arange(batch)[:, None] * 7919 + np.arange(seq) * 104729) % vocab).astype(np.int32),
                     NamedSharding(mesh, P("dp")))
first, second = moments
for number in range(1, steps + 2):
    start, processors = time.perf_counter(), time.process_time()
    params, first, second, loss = run(params, first, second, ids, float(number))
    jax.block_until_ready((params, loss))
    seconds, processors = time.perf_counter() - start, time.process_time() - processors
    print("jax%s %f %f %f" % ("-first" if number == 1 else "", seconds, float(loss), processors), flush=True)
