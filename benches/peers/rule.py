"""The training rule of these scripts: an MLP with binary weights, and the cascaded EMA filter (CEMA) as its optimizer.

Dense layers have weights in {-1, +1} and no bias. A batch norm follows each dense layer, and sign separates the layers. m is an exponential
moving average of the weight gradient G, h is one of m, and a weight is -sign(h), unchanged where h is 0.
"""

import gzip
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Sign(torch.autograd.Function):
    """+1 where x >= 0 (also for -0.0), else -1; the gradient passes where |x| <= 1."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.where(x >= 0, 1.0, -1.0)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grad.masked_fill(x.abs() > 1, 0)


class BinaryMlp(nn.Module):
    """Dense, batch norm, sign, ..., dense, batch norm; `sizes` runs from the input to the classes."""

    def __init__(self, sizes: list[int], rng: np.random.Generator):
        super().__init__()
        signs = [rng.integers(0, 2, (out, into)) * 2 - 1 for into, out in zip(sizes, sizes[1:])]
        self.weights = nn.ParameterList(torch.tensor(s, dtype=torch.float32) for s in signs)
        self.norms = nn.ModuleList(nn.BatchNorm1d(out) for out in sizes[1:])

    def forward(self, x: Tensor) -> Tensor:
        for i, (weight, norm) in enumerate(zip(self.weights, self.norms)):
            x = norm(F.linear(Sign.apply(x) if i else x, weight))
        return x


class Cema:
    """Optimizer of the binary weights. `step` takes alpha, which decays."""

    def __init__(self, weights, gamma: float):
        self.weights, self.gamma = list(weights), gamma
        self.m = [torch.zeros_like(w) for w in self.weights]
        self.h = [torch.zeros_like(w) for w in self.weights]

    @torch.no_grad()
    def step(self, alpha: float):
        for w, m, h in zip(self.weights, self.m, self.h):
            m.lerp_(w.grad, self.gamma)
            h.lerp_(m, alpha)
            w.copy_(torch.where(h == 0, w, -h.sign()))
            w.grad = None


def decayed(alpha: float, step: int, steps: int) -> float:
    """Returns alpha at `step` of `steps`: linear decay to 0."""
    return alpha * (1 - step / steps)


def scale_pixels(pixels: np.ndarray, largest: int) -> Tensor:
    """Converts pixels 0..largest to flat rows in [-1, 1]."""
    flat = torch.from_numpy(pixels.reshape(len(pixels), -1).astype(np.float32))
    return flat * 2 / largest - 1


def read_digits(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Reads pixels u8 [rows, 64] in 0..16 and labels i64 [rows] from a digits.csv.gz."""
    with gzip.open(path, "rt") as lines:
        rows = np.loadtxt(lines, delimiter=",", dtype=np.int64)
    return rows[:, :64].astype(np.uint8), rows[:, 64]
