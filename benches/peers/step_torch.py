"""Times one training step of a dense network in eager PyTorch, float32, as a baseline for engines.

Three variants share the layers (dense, batch norm, activation), the loss and the synthetic batch:
- `--rule cema` (default): the rule of rule.py, optimised for eager PyTorch. The product of the weight
  gradient accumulates into the first filter, the second filter is one in-place lerp, the flip is two in-place passes.
- `--rule adam-latent`: float latent weights, their signs in the products, Adam, clip to [-1, 1], the usual method.
- `--float`: the full-precision network with ReLU and Adam.
The script fails if the loss does not fall in the steps before the timing.
"""

import argparse
import json
import statistics
import time
from functools import partial
from typing import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rule import BinaryMlp, Sign

GAMMA, ALPHA, LR = 0.1, 1e-3, 1e-3


class FilteredDense(torch.autograd.Function):
    """x W^T; the backward pass moves `m` towards the weight gradient, which is not stored."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, m: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.m = m
        return x @ weight.t()

    @staticmethod
    def backward(ctx, grad: Tensor):
        x, weight = ctx.saved_tensors
        ctx.m.addmm_(grad.t(), x, beta=1 - GAMMA, alpha=GAMMA)
        return (grad @ weight if ctx.needs_input_grad[0] else None), None, None


class SignThrough(torch.autograd.Function):
    """Sign of a latent weight; the gradient passes unchanged, because the weight is clipped to [-1, 1]."""

    @staticmethod
    def forward(ctx, weight: Tensor) -> Tensor:
        return torch.where(weight >= 0, 1.0, -1.0)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        return grad


Step = Callable[[], Tensor]
MakeAdam = Callable[..., torch.optim.Adam]


def cema_step(model: BinaryMlp, x: Tensor, y: Tensor, make_adam: MakeAdam) -> Step:
    adam = make_adam(model.norms.parameters())
    filters = [(w, torch.zeros_like(w), torch.zeros_like(w)) for w in model.weights]

    def step() -> Tensor:
        z = x
        for i, ((w, m, _), norm) in enumerate(zip(filters, model.norms)):
            z = norm(FilteredDense.apply(Sign.apply(z) if i else z, w, m))
        loss = F.cross_entropy(z, y)
        loss.backward()
        with torch.no_grad():
            for w, m, h in filters:
                h.lerp_(m, ALPHA)
                w.sub_(h, alpha=3e38).sign_()  # -sign(h), and w where h is 0 or subnormal
        adam.step()
        adam.zero_grad()
        return loss.detach()

    return step


def latent_step(model: BinaryMlp, x: Tensor, y: Tensor, make_adam: MakeAdam) -> Step:
    for w in model.weights:
        nn.init.xavier_uniform_(w)
    adam = make_adam(model.parameters())

    def step() -> Tensor:
        z = x
        for i, (w, norm) in enumerate(zip(model.weights, model.norms)):
            z = norm(F.linear(Sign.apply(z) if i else z, SignThrough.apply(w)))
        loss = F.cross_entropy(z, y)
        loss.backward()
        adam.step()
        adam.zero_grad()
        with torch.no_grad():
            for w in model.weights:
                w.clamp_(-1, 1)
        return loss.detach()

    return step


def float_step(model: BinaryMlp, x: Tensor, y: Tensor, make_adam: MakeAdam) -> Step:
    for w in model.weights:
        nn.init.kaiming_uniform_(w)
    adam = make_adam(model.parameters())

    def step() -> Tensor:
        z = x
        for i, (w, norm) in enumerate(zip(model.weights, model.norms)):
            z = norm(F.linear(F.relu(z) if i else z, w))
        loss = F.cross_entropy(z, y)
        loss.backward()
        adam.step()
        adam.zero_grad()
        return loss.detach()

    return step


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rule", choices=["cema", "adam-latent"], default="cema")
    parser.add_argument("--float", action="store_true", help="full-precision network instead of --rule")
    parser.add_argument("--fused", action="store_true", help="fused Adam kernel (not the torch default; always used with cema)")
    parser.add_argument("--hidden", default="1024,1024")
    parser.add_argument("--input", type=int, default=784)
    parser.add_argument("--batch-size", type=int, default=100)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--warmup", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print one JSON line")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)

    hidden = [int(n) for n in args.hidden.split(",")]
    rng = np.random.default_rng(0)
    y = torch.from_numpy(rng.integers(0, 10, args.batch_size))
    x = torch.from_numpy(rng.uniform(-1, 1, (args.batch_size, args.input)).astype(np.float32))
    model = BinaryMlp([args.input, *hidden, 10], rng)
    rule = "float-adam" if args.float else args.rule
    make = {"cema": cema_step, "adam-latent": latent_step, "float-adam": float_step}[rule]
    step = make(model, x, y, partial(torch.optim.Adam, lr=LR, fused=args.fused or rule == "cema"))

    first, *_, last = (step().item() for _ in range(20))
    if not last < first:
        parser.exit(1, f"the loss does not fall: {first:.4f} -> {last:.4f}\n")
    times = []
    for _ in range(args.warmup + args.steps):
        start = time.perf_counter()
        step()
        times.append((time.perf_counter() - start) * 1e3)
    times = times[args.warmup :]
    median, best = round(statistics.median(times), 3), round(min(times), 3)
    if args.fused and rule != "cema":
        rule += "-fused"
    if args.json:
        facts = {"peer": "torch", "version": torch.__version__, "rule": rule, "model": "mlp"}
        facts |= {"hidden": hidden, "batch": args.batch_size, "ms_median": median, "ms_best": best, "threads": args.threads}
        print(json.dumps(facts))
    else:
        print(f"torch {torch.__version__} {rule}: median {median} ms, best {best} ms, loss {first:.3f} -> {last:.3f}")


if __name__ == "__main__":
    main()
