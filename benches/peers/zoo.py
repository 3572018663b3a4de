"""The networks of the zoo in plain PyTorch, written from the papers' descriptions, with the layer names of this project.

Images are NCHW here. Parameters have the names of a run's `model.safetensors`, so that weights can be exchanged:
`load` reads such a file. Binary weights are floats of -1 and +1; their gradient is not clipped.
"""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn import functional as F

from rule import Sign


class Polynomial(torch.autograd.Function):
    """Sign; the gradient is multiplied by 2 - 2|x| where |x| < 1, else by 0 (Bi-Real Net)."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.where(x >= 0, 1.0, -1.0)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grad * (2 - 2 * x.abs()).clamp(min=0)


MARGIN: list[float] | None = None  # if a list: distances of the values before a sign or a hardtanh from the nearest threshold (0 and the border of the mask)


def from_one(size: Tensor) -> Tensor:
    return torch.where(size == 1, 1.0, (size - 1).abs())


class See(nn.Module):
    """Input transform of a layer: identity, ReLU, or sign."""

    def __init__(self, how: str):
        super().__init__()
        self.how = how

    def forward(self, x: Tensor) -> Tensor:
        if MARGIN is not None and self.how in ("clip", "polynomial"):
            size = x.detach().abs()
            # Exactly 0 comes from a constant channel and is the same everywhere; exactly 1 comes from a saturated hardtanh.
            near = torch.where(size == 0, 1.0, size)
            MARGIN.append((torch.minimum(near, from_one(size)) if self.how == "clip" else near).min().item())
        if self.how == "clip":
            return Sign.apply(x)
        if self.how == "polynomial":
            return Polynomial.apply(x)
        return F.relu(x) if self.how == "relu" else x


class Conv(nn.Module):
    kind = "conv"

    def __init__(self, out: int, into: int, side: int, stride: int, padding: int, see: str, binary: bool):
        super().__init__()
        self.see, self.stride, self.padding, self.binary = See(see), stride, padding, binary
        self.weight = nn.Parameter(start((out, into, side, side), binary))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(self.see(x), self.weight, stride=self.stride, padding=self.padding)


class Dense(nn.Module):
    kind = "dense"

    def __init__(self, out: int, into: int, see: str, binary: bool):
        super().__init__()
        self.see, self.binary = See(see), binary
        self.weight = nn.Parameter(start((out, into), binary))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(self.see(x), self.weight)


def start(shape: tuple[int, ...], binary: bool) -> Tensor:
    if binary:
        return torch.randint(0, 2, shape).float() * 2 - 1
    bound = np.prod(shape[1:]) ** -0.5
    return torch.empty(shape).uniform_(-bound, bound)


class Norm(nn.Module):
    kind = "norm"

    def __init__(self, channels: int, scale: bool = True):
        super().__init__()
        self.scale, self.bias = nn.Parameter(torch.ones(channels), requires_grad=scale), nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_variance", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.running_mean, self.running_variance, self.scale, self.bias, self.training, 0.1, 1e-5)


class Bias(nn.Module):
    kind = "bias"

    def __init__(self, channels: int):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + (self.bias if x.dim() == 2 else self.bias[:, None, None])


class Prelu(nn.Module):
    kind = "prelu"

    def __init__(self, channels: int):
        super().__init__()
        self.slope = nn.Parameter(torch.full((channels,), 0.25))

    def forward(self, x: Tensor) -> Tensor:
        return F.prelu(x, self.slope)


class Do(nn.Module):
    """A function without parameters."""

    def __init__(self, kind: str, function):
        super().__init__()
        self.kind, self.function = kind, function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Sequence(nn.Module):
    """Layers in order, each named by its kind and its number within the kind."""

    def __init__(self, *layers: nn.Module):
        super().__init__()
        self.order: list[str] = []
        self.push(*layers)

    def push(self, *layers: nn.Module):
        for layer in layers:
            number = 1 + sum(getattr(self, name).kind == layer.kind for name in self.order)
            self.order.append(f"{layer.kind}{number}")
            self.add_module(self.order[-1], layer)

    def forward(self, x: Tensor) -> Tensor:
        for name in self.order:
            x = getattr(self, name)(x)
        return x


class Residual(Sequence):
    kind = "residual"

    def __init__(self, main: list[nn.Module], shortcut: list[nn.Module]):
        super().__init__(*main)
        self.shortcut = Sequence(*shortcut)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + self.shortcut(x)


class Concat(nn.Module):
    kind = "concat"

    def __init__(self, *branches: list[nn.Module]):
        super().__init__()
        self.count = len(branches)
        for i, branch in enumerate(branches):
            self.add_module(str(i + 1), Sequence(*branch))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([getattr(self, str(i + 1))(x) for i in range(self.count)], dim=1)


def flatten(x: Tensor) -> Tensor:
    """Flattens images in the order (pixel, channel)."""
    return x.permute(0, 2, 3, 1).flatten(1)


def maxpool(side: int, stride: int, padding: int = 0) -> Do:
    return Do("maxpool", lambda x: F.max_pool2d(x, side, stride, padding))


def meanpool(side: int) -> Do:
    return Do("meanpool", (lambda x: x[:, :, ::2, ::2]) if side == 1 else lambda x: F.avg_pool2d(x, side, 2))


def pad(channels: int) -> Do:
    def padded(x: Tensor) -> Tensor:
        more = channels - x.shape[1]
        return F.pad(x, (0, 0, 0, 0, more // 2, more - more // 2))

    return Do("pad", padded)


def hardtanh() -> Do:
    def cut(x: Tensor) -> Tensor:
        if MARGIN is not None:
            MARGIN.append(from_one(x.detach().abs()).min().item())
        return F.hardtanh(x)

    return Do("hardtanh", cut)


def network(name: str, width: float, classes: int = 10, hidden: tuple[int, ...] = (4096,) * 3, inputs: int = 784, size: int = 32) -> Sequence:
    """A network of the zoo; `inputs` pixels for mlp, images of `size` x `size` x 3 for the others."""
    c = lambda published: round(published * width)
    net = Sequence()
    if name == "mlp":
        see = "float"
        net.push(Do("flatten", flatten))
        for units in (*map(c, hidden), classes):
            net.push(Dense(units, inputs, see, True), Norm(units))
            see, inputs = "clip", units
    elif name in ("binarynet", "binarynet-bop"):
        original, see, into = name == "binarynet", "float", 3
        side = size if original else size - 2
        for i, out in enumerate((128, 128, 256, 256, 512, 512)):
            net.push(Conv(c(out), into, 3, 1, 0 if i == 0 and not original else 1, see, True))
            if i % 2:
                net.push(maxpool(2, 2))
                side //= 2
            net.push(Norm(c(out), original))
            see, into = "clip", c(out)
        net.push(Do("flatten", flatten))
        into *= side * side
        for units in (c(1024), c(1024), classes):
            net.push(Dense(units, into, "clip", True), Norm(units, original))
            into = units
    elif name == "vgg-small":
        net.push(Conv(c(128), 3, 3, 1, 1, "float", False), Norm(c(128)))
        into = c(128)
        for i, out in enumerate((128, 256, 256, 512, 512)):
            net.push(Conv(c(out), into, 3, 1, 1, "clip", True))
            if i % 2 == 0:
                net.push(maxpool(2, 2))
            net.push(Norm(c(out)))
            into = c(out)
        net.push(hardtanh(), Do("flatten", flatten))
        net.push(Dense(classes, into * (size // 8) ** 2, "float", False), Bias(classes))
    elif name in ("resnet20", "birealnet20", "resnet18"):
        stages, blocks = ((64, 128, 256, 512), 2) if name == "resnet18" else ((16, 32, 64), 3)
        net.push(Conv(c(stages[0]), 3, 3, 1, 1, "float", False), Norm(c(stages[0])), hardtanh())
        into = c(stages[0])
        for stage, out in enumerate(map(c, stages)):
            for block in range(blocks):
                stride = 2 if stage and not block else 1
                shortcut = [meanpool(1 if len(stages) == 3 else 2), pad(out)] if stride == 2 else []
                first = [Conv(out, into, 3, stride, 1, "clip", True), Norm(out)]
                second = [Conv(out, out, 3, 1, 1, "clip", True), Norm(out)]
                if name == "birealnet20":
                    net.push(Residual(first, shortcut), hardtanh(), Residual(second, []))
                else:
                    net.push(Residual(first + second, shortcut))
                net.push(hardtanh())
                into = out
        net.push(Do("globalmean", lambda x: x.mean((2, 3))), Norm(into), Dense(classes, into, "float", False), Bias(classes))
    elif name in ("birealnet18", "reactnet18"):
        react = name == "reactnet18"
        net.push(Conv(c(64), 3, 7, 2, 3, "float", False), Norm(c(64)), maxpool(3, 2, 1))
        into = c(64)
        for stage, out in enumerate(map(c, (64, 128, 256, 512))):
            for block in range(4):
                stride = 2 if stage and not block else 1
                shortcut = [meanpool(2), Conv(out, into, 1, 1, 0, "float", False), Norm(out)] if stride == 2 else []
                main = [Bias(into)] if react else []
                net.push(Residual(main + [Conv(out, into, 3, stride, 1, "polynomial", True), Norm(out)], shortcut))
                if react:
                    net.push(Bias(out), Prelu(out), Bias(out))
                into = out
        net.push(Do("globalmean", lambda x: x.mean((2, 3))), Dense(classes, into, "float", False), Bias(classes))
    elif name == "reactnet-a":
        net.push(Conv(c(32), 3, 3, 2, 1, "float", False), Norm(c(32)))
        widths = [32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024]
        for before, after in zip(widths, widths[1:]):
            stride, into = 2 if after > before > 32 else 1, c(before)
            shortcut = [meanpool(2)] if stride == 2 else []
            net.push(Residual([Bias(into), Conv(into, into, 3, stride, 1, "polynomial", True), Norm(into)], shortcut))
            net.push(Bias(into), Prelu(into), Bias(into))
            half = lambda: [Conv(into, into, 1, 1, 0, "polynomial", True), Norm(into)]
            if after == before:
                net.push(Residual([Bias(into), *half()], []))
            else:
                net.push(Residual([Bias(into), Concat(half(), half())], [Concat([], [])]))
            net.push(Bias(c(after)), Prelu(c(after)), Bias(c(after)))
        net.push(Do("globalmean", lambda x: x.mean((2, 3))), Dense(classes, c(1024), "float", False), Bias(classes))
    else:
        raise SystemExit(f"model: no network `{name}`")
    return net


def binary_weights(net: nn.Module) -> list[nn.Parameter]:
    return [layer.weight for layer in net.modules() if isinstance(layer, (Conv, Dense)) and layer.binary]


@torch.no_grad()
def load(net: nn.Module, path: Path):
    """Reads weights in this project's format: signs as rows of 32-bit words, kernels as [height, width, out, in]."""
    with safe_open(path, "np") as file:
        notes = json.loads(file.metadata()["plusminus"])
        tensors = {**dict(net.named_parameters()), **dict(net.named_buffers())}
        assert set(tensors) == set(file.keys()), set(tensors) ^ set(file.keys())
        for name, to in tensors.items():
            value = file.get_tensor(name)
            if value.dtype == np.uint32:
                columns = int(notes[f"{name}.columns"])
                value = np.unpackbits(value.view(np.uint8), axis=1, bitorder="little")[:, :columns] * 2.0 - 1.0
            if to.dim() == 4:
                out, into, height, width = to.shape
                value = value.reshape(height, width, out, into).transpose(2, 3, 0, 1)
            to.copy_(torch.from_numpy(np.ascontiguousarray(value, dtype=np.float32)))


def ours(name: str, value: Tensor) -> np.ndarray:
    """Returns a gradient in this project's order."""
    return np.ascontiguousarray((value.permute(2, 3, 0, 1) if value.dim() == 4 else value).detach().numpy())
