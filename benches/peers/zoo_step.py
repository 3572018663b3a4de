"""One step of a network of the zoo in PyTorch: logits, loss and gradients for given weights and pixels, for tests/zoo_parity.rs.

`FOLDER/weights.safetensors` is a model in this project's format; `FOLDER/batch.safetensors` has `pixels` [batch, height,
width, 3] in bytes as floats and `labels`. Writes `FOLDER/torch.safetensors`: `logits`, `loss`, and NAME.grad of all trained parameters.

`--golden FILE` draws random weights and pixels and writes them with the results, in the format of tests/golden/README.md. It uses the first
seed with which no value before a sign lies within `--margin` of a threshold, so that rounding changes no sign. `--size` is the side length of the
images, also for mlp, whose units are given by `--hidden`.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from torch.nn import functional as F

import zoo
from golden import Record, write_safetensors
from zoo import binary_weights, load, network, ours

CLASSES = 10
SOME = 32  # recorded entries of a gradient


def step(net: torch.nn.Module, pixels: np.ndarray, labels: np.ndarray) -> Record:
    net.train()
    zoo.MARGIN = []
    logits = net(torch.from_numpy(pixels).permute(0, 3, 1, 2) * (2 / 255) - 1)
    loss = F.cross_entropy(logits, torch.from_numpy(labels).long())
    loss.backward()
    out = {"logits": ours("", logits), "loss": np.array([loss.item()], dtype=np.float32), "margin": np.array([min(zoo.MARGIN)], dtype=np.float32)}
    return out | {f"{name}.grad": ours(name, p.grad) for name, p in net.named_parameters() if p.grad is not None}


@torch.no_grad()
def draw(net: torch.nn.Module, rng: np.random.Generator) -> Record:
    """Sets all trained parameters. Returns them in this project's order, binary weights as bits, eight per byte, lowest first."""
    binary, record = {id(weight) for weight in binary_weights(net)}, {}
    for name, p in net.named_parameters():
        if id(p) in binary:
            value = rng.integers(0, 2, p.shape) * 2.0 - 1.0
        elif name.endswith("scale"):
            value = rng.uniform(0.5, 1.5, p.shape)
        else:
            bound = np.prod(p.shape[1:]) ** -0.5 if p.dim() > 1 else 0.25
            value = rng.uniform(-bound, bound, p.shape)
        p.copy_(torch.from_numpy(value))
        signs = lambda: np.packbits(ours(name, p).reshape(-1) > 0, bitorder="little")
        record[name] = signs() if id(p) in binary else ours(name, p).copy()
    return record


def condensed(name: str, value: np.ndarray) -> Record:
    """Returns of a gradient equidistant entries, its sum and its sum of squares; returns other tensors whole."""
    if not name.endswith(".grad"):
        return {name: value}
    flat = value.reshape(-1).astype(np.float64)
    count = min(SOME, len(flat))
    some = flat[[i * len(flat) // count for i in range(count)]]
    return {f"{name}.some": some.astype(np.float32), f"{name}.sums": np.array([flat.sum(), (flat**2).sum()], dtype=np.float32)}


def golden(args: argparse.Namespace):
    rows, size, hidden = args.rows, args.size, tuple(map(int, args.hidden.split(",")))
    for seed in range(args.seeds):
        rng = np.random.default_rng(seed)
        net = network(args.model, args.width, CLASSES, hidden, inputs=size * size * 3, size=size)
        record = draw(net, rng)
        pixels = rng.integers(0, 256, (rows, size, size, 3), dtype=np.uint8)
        labels = rng.permutation(CLASSES)[:rows].astype(np.int32)
        answer = step(net, pixels.astype(np.float32), labels)
        if answer["margin"][0] >= args.margin:
            break
    else:
        raise SystemExit(f"no seed below {args.seeds} keeps a margin of {args.margin}")
    record |= {"pixels": pixels, "labels": labels}
    for name, value in answer.items():
        record |= condensed(name, value)
    facts = {"model": args.model, "width": args.width, "size": size, "seed": seed, "torch": torch.__version__}
    if args.model == "mlp":
        facts["hidden"] = args.hidden
    write_safetensors(args.golden, record, {name: str(value) for name, value in facts.items()})
    print(f"seed {seed}, {args.golden.stat().st_size} bytes, nearest to a decision {answer['margin'][0]:.1e}, loss {answer['loss'][0]:.3f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--model", required=True)
    parser.add_argument("--width", type=float, required=True)
    parser.add_argument("--hidden", default="320,264")
    parser.add_argument("--golden", type=Path, metavar="FILE", help="the .safetensors file to write")
    parser.add_argument("--size", type=int, default=32, help="side length of the images of the golden file")
    parser.add_argument("--rows", type=int, default=4, help="images of the golden batch")
    parser.add_argument("--margin", type=float, default=1e-5, help="margin of the golden file")
    parser.add_argument("--seeds", type=int, default=1000, help="maximum number of seeds for the golden file")
    parser.add_argument("--threads", type=int)
    args = parser.parse_args()
    if (args.folder is None) == (args.golden is None):
        parser.error("one of FOLDER and --golden FILE")
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.golden:
        return golden(args)
    batch = load_file(args.folder / "batch.safetensors")
    pixels, hidden = batch["pixels"], tuple(map(int, args.hidden.split(",")))
    net = network(args.model, args.width, CLASSES, hidden, inputs=pixels[0].size, size=pixels.shape[1])
    load(net, args.folder / "weights.safetensors")
    save_file(step(net, pixels, batch["labels"]), args.folder / "torch.safetensors")


if __name__ == "__main__":
    main()
