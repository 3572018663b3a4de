"""Trains the rule of rule.py on MNIST, or on the small digits set, and prints one JSON line per epoch and one at the end.

It measures the accuracy of the rule in plain PyTorch, as a reference for engines. Hyperparameters are not
tuned. `--grid` trains on 5 seeds for each of six settings of alpha and gamma and prints one line for each setting.
"""

import argparse
import gzip
import json
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from rule import BinaryMlp, Cema, decayed, read_digits, scale_pixels

LR = 1e-3
GRID = [(alpha, gamma) for alpha in (1e-3, 3e-3, 1e-2) for gamma in (0.1, 0.3)]
GRID_SEEDS = range(5)


@dataclass
class Data:
    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor


def read_idx(path: Path) -> np.ndarray:
    data = gzip.decompress(path.read_bytes())
    shape = np.frombuffer(data, ">u4", count=data[3], offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)


def mnist(folder: Path) -> Data:
    parts = []
    for name in "train", "t10k":
        parts.append(scale_pixels(read_idx(folder / f"{name}-images-idx3-ubyte.gz"), 255))
        parts.append(torch.from_numpy(read_idx(folder / f"{name}-labels-idx1-ubyte.gz").astype(np.int64)))
    return Data(*parts)


def digits(path: Path) -> Data:
    """Splits the digits. The split is fixed: the first 1437 rows of a permutation train, the other 360 test."""
    pixels, labels = read_digits(path)
    order = np.random.default_rng(0).permutation(len(pixels))
    x, y = scale_pixels(pixels[order], 16), torch.from_numpy(labels[order])
    return Data(x[:1437], y[:1437], x[1437:], y[1437:])


@torch.no_grad()
def accuracy(model: BinaryMlp, x: Tensor, y: Tensor) -> float:
    model.eval()
    right = sum((model(a).argmax(1) == b).sum().item() for a, b in zip(x.split(1000), y.split(1000)))
    model.train()
    return right / len(y)


def train(data: Data, hidden: list[int], batch: int, epochs: int, alpha: float, gamma: float, seed: int, log=None) -> float:
    """Returns the test accuracy after the last epoch. An incomplete last batch of an epoch is dropped."""
    rng = np.random.default_rng(seed)
    model = BinaryMlp([data.train_x.shape[1], *hidden, 10], rng)
    cema = Cema(model.weights, gamma)
    adam = torch.optim.Adam(model.norms.parameters(), lr=LR)
    batches = len(data.train_x) // batch
    for epoch in range(epochs):
        start, total = time.perf_counter(), 0.0
        order = torch.from_numpy(rng.permutation(len(data.train_x)))
        for i in range(batches):
            rows = order[i * batch : (i + 1) * batch]
            loss = F.cross_entropy(model(data.train_x[rows]), data.train_y[rows])
            loss.backward()
            cema.step(decayed(alpha, epoch * batches + i, epochs * batches))
            adam.step()
            adam.zero_grad()
            total += loss.item()
        test = accuracy(model, data.test_x, data.test_y)
        if log:
            seconds = round(time.perf_counter() - start, 2)
            log({"epoch": epoch + 1, "loss": round(total / batches, 4), "test_accuracy": round(test, 4), "seconds": seconds})
    return test


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", choices=["mnist", "digits"], default="mnist")
    parser.add_argument("--data-dir", type=Path, help="folder of the four gzipped idx files of MNIST")
    parser.add_argument("--digits", type=Path, help="digits.csv.gz: 64 pixels 0..16 and the label per line")
    parser.add_argument("--hidden", help="default 1024,1024; digits 512,512")
    parser.add_argument("--batch-size", type=int, default=100)
    parser.add_argument("--epochs", type=int, help="default 6; digits 30")
    parser.add_argument("--alpha", type=float, default=1e-3)
    parser.add_argument("--gamma", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--grid", action="store_true", help="ignore --alpha, --gamma and --seed: run the grid")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    def log(line: dict):
        print(json.dumps(line), flush=True)

    if args.dataset == "mnist":
        source, read, hidden, epochs = args.data_dir, mnist, "1024,1024", 6
    else:
        source, read, hidden, epochs = args.digits, digits, "512,512", 30
    if source is None:
        parser.error("mnist needs --data-dir, digits needs --digits")
    sizes = [int(n) for n in (args.hidden or hidden).split(",")]
    epochs = args.epochs or epochs
    data = read(source)

    if args.grid:
        for alpha, gamma in GRID:
            runs = [train(data, sizes, args.batch_size, epochs, alpha, gamma, seed) for seed in GRID_SEEDS]
            line = {"alpha": alpha, "gamma": gamma, "mean": round(statistics.mean(runs), 4)}
            log(line | {"min": round(min(runs), 4), "max": round(max(runs), 4), "seeds": len(runs)})
        return
    settings = {"alpha": args.alpha, "gamma": args.gamma, "seed": args.seed}
    test = train(data, sizes, args.batch_size, epochs, **settings, log=log)
    facts = {"done": True, "peer": "torch", "dataset": args.dataset, "hidden": sizes, "batch": args.batch_size}
    log(facts | settings | {"epochs": epochs, "test_accuracy": round(test, 4)})


if __name__ == "__main__":
    main()
