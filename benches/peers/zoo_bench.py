"""Times a training step of a network of the zoo in PyTorch, float32 on the CPU, and measures its memory.

`--rule adam-latent` is the usual method: latent weights through sign, Adam. `--rule cema` is this project's rule. Prints a JSON
line: ms per step (median and best), ms of the forward pass, and the increase of the peak resident memory from before the
construction of the network to after ten steps (Linux).
"""

import argparse
import json
import statistics
import time

import torch
from torch import nn
from torch.nn import functional as F

from rule import Cema, Sign
from zoo import Conv, Dense, binary_weights, network

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--model", default="binarynet")
parser.add_argument("--width", type=float, default=1.0)
parser.add_argument("--batch-size", type=int, default=50)
parser.add_argument("--rule", choices=("adam-latent", "cema"), default="adam-latent")
parser.add_argument("--steps", type=int, default=10)
parser.add_argument("--threads", type=int, default=2)
args = parser.parse_args()
torch.set_num_threads(args.threads)
torch.manual_seed(1)


def memory(key: str) -> int:
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(key)) << 10


pixels = (torch.randint(0, 256, (args.batch_size, 3, 32, 32)) * (2 / 255) - 1).contiguous(memory_format=torch.channels_last)
labels = torch.randint(0, 10, (args.batch_size,))
before = memory("VmRSS")
net = network(args.model, args.width).to(memory_format=torch.channels_last)
binary = binary_weights(net)
if args.rule == "adam-latent":
    for layer in net.modules():
        if isinstance(layer, (Conv, Dense)) and layer.binary:
            layer.weight.data.mul_(0.005 * torch.rand_like(layer.weight))
            torch.nn.utils.parametrize.register_parametrization(layer, "weight", type("Binary", (nn.Module,), {"forward": lambda _, w: Sign.apply(w)})())
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
else:
    cema = Cema(binary, 0.1)
    ids = set(map(id, binary))
    optimizer = torch.optim.Adam([p for p in net.parameters() if id(p) not in ids], lr=1e-3)


def step() -> tuple[float, float, float]:
    begin = time.perf_counter()
    loss = F.cross_entropy(net(pixels), labels)
    forward = time.perf_counter()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if args.rule == "cema":
        cema.step(1e-3)
    return loss.item(), time.perf_counter() - begin, forward - begin


first = step()[0]
for _ in range(9):
    last = step()[0]
assert last < first, f"the loss on one batch went from {first} to {last}, it must fall"
growth = memory("VmHWM") - before
times = [step()[1:] for _ in range(args.steps)]
whole, forward = zip(*times)
ms = lambda seconds: round(1e3 * seconds, 2)
print(json.dumps({
    "model": args.model, "width": args.width, "batch": args.batch_size, "rule": args.rule, "torch": torch.__version__, "threads": args.threads,
    "ms_median": ms(statistics.median(whole)), "ms_best": ms(min(whole)), "ms_forward": ms(statistics.median(forward)), "bytes_growth": growth,
}))
