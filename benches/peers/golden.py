"""Generates tests/golden/mlp.safetensors: 20 training steps of a small binary network, recorded from PyTorch.

The file has every intermediate value of the rule. An engine that starts from the state before step t with the batch of step t
must reach the state before step t+1. The pixels are digits with added noise, so that no pixel is constant over a batch: its
weight gradient would be 0, and rounding would decide the sign of its weight. The seed is the first for which no batch-norm
output that feeds a sign lies within `--margin` of 0 (the sign) or of +-1 (the gradient mask), and no weight gradient of the
first step is nearly 0. Rounding then changes no sign and no mask, and an engine can run all 20 steps without correction.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from rule import BinaryMlp, Cema, decayed, read_digits, scale_pixels

SIZES, BATCH, STEPS = [64, 33, 20, 10], 16, 20
ALPHA, GAMMA, LR = 1e-2, 0.1, 1e-3
NOISE = 5  # added to pixels: 0 to NOISE - 1
LEAST_GRADIENT = 1e-8  # of the first step; rounding is below 1e-9

Record = dict[str, np.ndarray]


def state(model: BinaryMlp, cema: Cema, adam: torch.optim.Adam) -> Record:
    """Returns all tensors that a step changes, by name without the step."""
    record = {}
    for i, (w, m, h, norm) in enumerate(zip(model.weights, cema.m, cema.h, model.norms), 1):
        record |= {f"dense{i}.weight": w > 0, f"dense{i}.m": m, f"dense{i}.h": h}
        record |= {f"norm{i}.running_mean": norm.running_mean, f"norm{i}.running_var": norm.running_var}
        for name, p in ("scale", norm.weight), ("bias", norm.bias):
            moments = adam.state.get(p) or {"exp_avg": torch.zeros_like(p), "exp_avg_sq": torch.zeros_like(p)}
            record |= {f"norm{i}.{name}": p, f"norm{i}.{name}_m": moments["exp_avg"]}
            record[f"norm{i}.{name}_v"] = moments["exp_avg_sq"]
    return {k: v.detach().to(torch.uint8 if v.dtype == torch.bool else v.dtype).numpy().copy() for k, v in record.items()}


def gradients(model: BinaryMlp) -> Record:
    record = {}
    for i, (w, norm) in enumerate(zip(model.weights, model.norms), 1):
        record |= {f"dense{i}.grad": w.grad, f"norm{i}.scale_grad": norm.weight.grad, f"norm{i}.bias_grad": norm.bias.grad}
    return {k: v.numpy().copy() for k, v in record.items()}


def run(seed: int, pixels: np.ndarray, labels: np.ndarray, margin: float) -> Record | None:
    """Returns all tensors of the run with `seed`, or None if rounding could decide a sign."""
    rng = np.random.default_rng(seed)
    model = BinaryMlp(SIZES, rng)
    cema = Cema(model.weights, GAMMA)
    adam = torch.optim.Adam(model.norms.parameters(), lr=LR, foreach=False)
    nearest = []

    def watch(module, inputs, output):
        x = output.detach().abs()
        nearest.append(min(x.min().item(), (x - 1).abs().min().item()))

    for norm in model.norms[:-1]:
        norm.register_forward_hook(watch)
    tensors: Record = {}
    for t, rows in enumerate(rng.permutation(len(pixels))[: STEPS * BATCH].reshape(STEPS, BATCH)):
        record = state(model, cema, adam)
        images = np.minimum(pixels[rows] + rng.integers(0, NOISE, pixels[rows].shape, dtype=np.uint8), 16).astype(np.uint8)
        logits = model(scale_pixels(images, 16))
        if min(nearest) < margin:
            return None
        loss = F.cross_entropy(logits, torch.from_numpy(labels[rows]))
        loss.backward()
        if t == 0 and min(w.grad.abs().min().item() for w in model.weights) < LEAST_GRADIENT:
            return None
        record |= {"images": images, "labels": labels[rows].astype(np.int32)}
        record |= {"loss": loss.detach().numpy().reshape(1), "logits": logits.detach().numpy()}
        record |= gradients(model)
        tensors |= {f"t{t}.{name}": value for name, value in record.items()}
        cema.step(decayed(ALPHA, t, STEPS))
        adam.step()
        adam.zero_grad()
    return tensors | {f"t{STEPS}.{name}": value for name, value in state(model, cema, adam).items()}


def write_safetensors(path: Path, tensors: Record, facts: dict[str, str]):
    """Writes a file whose bytes depend only on tensors and metadata. u8 tensors come last, so that all others are aligned."""
    types = {"float32": "F32", "int32": "I32", "uint8": "U8"}
    header, data = {"__metadata__": facts}, b""
    for name, value in sorted(tensors.items(), key=lambda item: (item[1].dtype == np.uint8, item[0])):
        span = [len(data), len(data) + value.nbytes]
        header[name] = {"dtype": types[value.dtype.name], "shape": value.shape, "data_offsets": span}
        data += value.tobytes()
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("digits", type=Path, help="digits.csv.gz: 64 pixels 0..16 and the label per line")
    parser.add_argument("out", type=Path, help="the .safetensors file to write")
    parser.add_argument("--margin", type=float, default=1e-4)
    parser.add_argument("--seeds", type=int, default=500, help="maximum number of seeds")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    pixels, labels = read_digits(args.digits)
    for seed in range(args.seeds):
        if tensors := run(seed, pixels, labels, args.margin):
            break
    else:
        parser.exit(1, f"no seed below {args.seeds} keeps a margin of {args.margin}\n")
    facts = {"alpha": ALPHA, "gamma": GAMMA, "steps": STEPS, "lr": LR, "seed": seed}
    write_safetensors(args.out, tensors, {name: str(value) for name, value in facts.items()})
    losses = [float(tensors[f"t{t}.loss"][0]) for t in range(STEPS)]
    print(f"seed {seed}, {args.out.stat().st_size} bytes, loss {losses[0]:.3f} -> {losses[-1]:.3f}")


if __name__ == "__main__":
    main()
