"""Trains a network of the zoo in PyTorch, float32 on the CPU, on a folder of images, with this project's rule and settings.

Equivalent to `plusminus train --dataset folder --augment pad-crop,flip --mean 0.5 --std 0.5 --model NAME`, for a comparison of curves: cema with
gamma 0.1 and alpha decaying linearly from 1e-3 to 0, Adam with rate 1e-3 for float parameters, cross-entropy, no weight decay. `DIR` contains
`{train,test}/CLASS/*.jpg` of one size. Prints one JSON line per epoch.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from rule import Cema, decayed
from zoo import binary_weights, network

PAD = 4


def read(folder: Path) -> tuple[Tensor, Tensor]:
    """Reads bytes [images, height, width, 3] and labels; classes are ordered by name."""
    images, labels = [], []
    for label, place in enumerate(sorted(path for path in folder.iterdir() if path.is_dir())):
        for path in sorted(place.iterdir()):
            images.append(np.asarray(Image.open(path).convert("RGB")))
            labels.append(label)
    return torch.from_numpy(np.stack(images)), torch.tensor(labels)


def floats(bytes_: Tensor) -> Tensor:
    """Converts to [-1, 1], NCHW in channels-last memory format."""
    return (bytes_.float() * (2 / 255) - 1).permute(0, 3, 1, 2)


def augmented(images: Tensor, draw: torch.Generator) -> Tensor:
    """Pads by 4 black pixels, crops at random and mirrors half of the images."""
    count, height, width, _ = images.shape
    wide = F.pad(images, (0, 0, PAD, PAD, PAD, PAD))
    down, across = torch.randint(0, 2 * PAD + 1, (2, count, 1), generator=draw)
    columns = torch.arange(width).expand(count, -1)
    columns = torch.where(torch.rand((count, 1), generator=draw) < 0.5, columns, width - 1 - columns)
    rows = down + torch.arange(height)
    return wide[torch.arange(count)[:, None, None], rows[:, :, None], (across + columns)[:, None, :]]


@torch.no_grad()
def accuracy(net, images: Tensor, labels: Tensor) -> float:
    net.eval()
    right = sum((net(floats(x)).argmax(1) == y).sum().item() for x, y in zip(images.split(200), labels.split(200)))
    net.train()
    return right / len(labels)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--model", default="birealnet20")
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--batch-size", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    draw = torch.Generator().manual_seed(args.seed)
    (images, labels), test = read(args.folder / "train"), read(args.folder / "test")
    net = network(args.model, args.width, int(labels.max()) + 1).to(memory_format=torch.channels_last)
    cema = Cema(binary_weights(net), 0.1)
    binary = set(map(id, cema.weights))
    adam = torch.optim.Adam([p for p in net.parameters() if id(p) not in binary], lr=1e-3)
    batches = len(labels) // args.batch_size
    for epoch in range(args.epochs):
        begin, total, right = time.perf_counter(), 0.0, 0
        for i, rows in enumerate(torch.randperm(len(labels), generator=draw)[: batches * args.batch_size].split(args.batch_size)):
            outputs, wanted = net(floats(augmented(images[rows], draw))), labels[rows]
            loss = F.cross_entropy(outputs, wanted)
            adam.zero_grad()
            loss.backward()
            cema.step(decayed(1e-3, epoch * batches + i, args.epochs * batches))
            adam.step()
            total += loss.item()
            right += (outputs.argmax(1) == wanted).sum().item()
        seconds = time.perf_counter() - begin
        print(json.dumps({
            "model": args.model, "width": args.width, "seed": args.seed, "epoch": epoch + 1, "train_loss": round(total / batches, 4),
            "train_accuracy": round(right / batches / args.batch_size, 4), "test_accuracy": accuracy(net, *test),
            "seconds": round(seconds, 1), "torch": torch.__version__, "threads": args.threads,
        }), flush=True)


if __name__ == "__main__":
    main()
