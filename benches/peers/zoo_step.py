"""One step of a network of the zoo in PyTorch: logits, loss and gradients for given weights and pixels, for tests/zoo_parity.rs.

`FOLDER/weights.safetensors` is a model as this project saves it, `FOLDER/batch.safetensors` has `pixels` [batch, height,
width, 3] in bytes as floats and `labels`. Writes `FOLDER/torch.safetensors`: `logits`, `loss`, and NAME.grad of all that is trained.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from torch.nn import functional as F

import zoo
from zoo import load, network, ours

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("folder", type=Path)
parser.add_argument("--model", required=True)
parser.add_argument("--width", type=float, required=True)
parser.add_argument("--hidden", default="320,264")
args = parser.parse_args()

batch = load_file(args.folder / "batch.safetensors")
pixels = torch.from_numpy(batch["pixels"]).permute(0, 3, 1, 2) * (2 / 255) - 1
hidden = tuple(map(int, args.hidden.split(",")))
net = network(args.model, args.width, 10, hidden, inputs=pixels[0].numel(), size=pixels.shape[2])
load(net, args.folder / "weights.safetensors")
net.train()
zoo.MARGIN = []
logits = net(pixels)
loss = F.cross_entropy(logits, torch.from_numpy(batch["labels"]).long())
loss.backward()
out = {"logits": ours("", logits), "loss": np.array([loss.item()], dtype=np.float32), "margin": np.array([min(zoo.MARGIN)], dtype=np.float32)}
out |= {f"{name}.grad": ours(name, p.grad) for name, p in net.named_parameters() if p.grad is not None}
save_file(out, args.folder / "torch.safetensors")
