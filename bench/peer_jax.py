"""A jitted JAX Qwen2 at a shape with made-up f32 weights, batch 1, tensor-parallel by shard_map over virtual CPU devices: static
cache, donated; prefill attends to itself. What a careful JAX user would write, as the peer of `bench --backend pjrt`.
Usage: peer_jax.py CONFIG.json DEVICES PROMPT GEN START   START: seconds since 1970 when the process was started
Prints "NAME VALUE" lines: jax-start (seconds from START to the first token), jax-tg and jax-pp (tokens per second).
Heads: with more devices than key/value heads each of these is copied and its queries padded to a multiple."""
import json
import os
import sys
import time

config, devices, prompt, gen, started = json.load(open(sys.argv[1])), *map(int, sys.argv[2:5]), float(sys.argv[5])
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["XLA_FLAGS"] = (f"--xla_force_host_platform_device_count={devices} "
                           "--xla_cpu_collective_call_terminate_timeout_seconds=1800")
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P

D, F, L, V = (config[k] for k in ("hidden_size", "intermediate_size", "num_hidden_layers", "vocab_size"))
H, KV, tied, CTX = config["num_attention_heads"], config["num_key_value_heads"], config["tie_word_embeddings"], 1088
C, N = D // H, devices
copies, local_kv = max(1, N // KV), max(1, KV // N)
G = -(-(H // KV) // copies)
Q, K = N * local_kv * G * C, N * local_kv * C
VP, FP = -(-V // N) * N, -(-F // N) * N
mesh = Mesh(np.array(jax.devices()), ("tp",))
out_split, in_split, whole = P("tp", None), P(None, "tp"), P()
LAYER = {"n1": ((D,), whole), "q": ((Q, D), out_split), "k": ((K, D), out_split), "v": ((K, D), out_split),
         "bq": ((Q,), P("tp")), "bk": ((K,), P("tp")), "bv": ((K,), P("tp")), "o": ((D, Q), in_split), "n2": ((D,), whole),
         "gate": ((FP, D), out_split), "up": ((FP, D), out_split), "down": ((D, FP), in_split)}
TOP = {"embed": ((VP, D), out_split), "norm": ((D,), whole), **({} if tied else {"head": ((VP, D), out_split)})}
block = np.random.default_rng(0).standard_normal(1 << 20, dtype=np.float32) * np.float32(0.02)


def weights(spec):
    return {k: jax.device_put(np.resize(block, s), NamedSharding(mesh, p)) for k, (s, p) in spec.items()}


def linear(x, w):
    return lax.dot_general(x, w, (((1,), (1,)), ((), ())))


def norm(x, gain):
    return x * lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-6) * gain


def rotate(x, position):
    angle = position[:, None, None] * 1e6 ** (-jnp.arange(C // 2, dtype=jnp.float32) / (C // 2))
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    a, b = jnp.split(x, 2, -1)
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], -1)


def attend(q, k, v, visible):
    rows, seen = q.shape[0], k.shape[1]
    q = q.reshape(rows, local_kv, G, C).transpose(1, 2, 0, 3).reshape(local_kv, G * rows, C)
    score = jnp.einsum("ktc,ksc->kts", q, k).reshape(local_kv, G, rows, seen) * C**-0.5
    p = jax.nn.softmax(jnp.where(visible, score, -1e30), -1).reshape(local_kv, G * rows, seen)
    return jnp.einsum("kts,ksc->ktc", p, v).reshape(local_kv, G, rows, C).transpose(2, 0, 1, 3).reshape(rows, -1)


def forward(top, layers, cache, ids, first):
    rows, me = ids.shape[0], lax.axis_index("tp")
    position, part = first + jnp.arange(rows), VP // N
    at = ids - me * part
    x = jnp.where(((at >= 0) & (at < part))[:, None], top["embed"][jnp.clip(at, 0, part - 1)], 0)
    x = lax.psum(x, "tp")
    new = []
    for w, (keys, values) in zip(layers, cache):
        h = norm(x, w["n1"])
        q = rotate((linear(h, w["q"]) + w["bq"]).reshape(rows, -1, C), position)
        k = rotate((linear(h, w["k"]) + w["bk"]).reshape(rows, -1, C), position).transpose(1, 0, 2)
        v = (linear(h, w["v"]) + w["bv"]).reshape(rows, -1, C).transpose(1, 0, 2)
        keys, values = (lax.dynamic_update_slice(c, y, (0, first, 0)) for c, y in ((keys, k), (values, v)))
        new.append((keys, values))
        seen = (keys, values) if rows == 1 else (k, v)
        visible = jnp.arange(seen[0].shape[1])[None] <= (position if rows == 1 else jnp.arange(rows))[:, None]
        x = x + lax.psum(linear(attend(q, *seen, visible), w["o"]), "tp")
        h = norm(x, w["n2"])
        x = x + lax.psum(linear(jax.nn.silu(linear(h, w["gate"])) * linear(h, w["up"]), w["down"]), "tp")
    logits = linear(norm(x[-1:], top["norm"]), top["embed" if tied else "head"])[0]
    best = jnp.stack([jnp.max(logits), (jnp.argmax(logits) + me * part).astype(jnp.float32)])
    best = lax.all_gather(best, "tp")
    return best[jnp.argmax(best[:, 0]), 1].astype(jnp.int32), new


params = weights(TOP), [weights(LAYER) for _ in range(L)]
specs = {k: p for k, (_, p) in TOP.items()}, [{k: p for k, (_, p) in LAYER.items()}] * L
cache_spec = [(P("tp"), P("tp"))] * L
step = jax.jit(jax.shard_map(forward, mesh=mesh, in_specs=(*specs, cache_spec, P(), P()), out_specs=(P(), cache_spec),
                             check_vma=False), donate_argnums=2)


def empty():
    zeros = np.zeros((N * local_kv, CTX, C), np.float32)
    return [tuple(jax.device_put(zeros, NamedSharding(mesh, P("tp"))) for _ in range(2)) for _ in range(L)]


def tokens(cache, count, first):
    token = jnp.zeros(1, jnp.int32)
    for i in range(count):
        token, cache = step(*params, cache, token.reshape(1), jnp.int32(first + i))
        token.block_until_ready()
    return cache


cache = tokens(empty(), 1, 0)
print("jax-start %f" % (time.time() - started))
cache = tokens(cache, 2, 1)
start = time.perf_counter()
tokens(cache, gen, 3)
print("jax-tg %f" % (gen / (time.perf_counter() - start)))
ids = jnp.asarray(np.arange(prompt) * 7919 % V, jnp.int32)
for warm in (True, False):
    cache = jax.block_until_ready(empty())
    start = time.perf_counter()
    step(*params, cache, ids, jnp.int32(0))[0].block_until_ready()
print("jax-pp %f" % (prompt / (time.perf_counter() - start)))
