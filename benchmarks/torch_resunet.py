# pyright: reportMissingImports=false, reportCallIssue=false
"""The networks of stages 1 and 2 in PyTorch: the same layers, loss and optimiser, to race against.

Images are ``[batch, channels, height, width]`` in [0, 255], in channels_last memory. `copied`
carries the parameters of a Flax network over; ``tests/benchmarks`` holds outputs and gradients to
those of Flax.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch._inductor import config as inductor
from torch.nn import functional


class ResidualBlock(nn.Module):
    """Twice convolution 3x3, ReLU, batch normalisation; plus a 1x1 projection of the input."""

    def __init__(self, channels: int, features: int):
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(count, features, 3, padding=1) for count in (channels, features)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(features) for _ in range(2))
        self.projection = nn.Conv2d(channels, features, 1)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Same height and width, `features` channels."""
        hidden = inputs
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            hidden = norm(functional.relu(convolution(hidden)))
        return hidden + self.projection(inputs)


class ResUNet(nn.Module):
    """As `acsnet_jax.models.ResUNet`."""

    def __init__(
        self,
        channels: int,
        filters: Sequence[int],
        bridge: int,
        outputs: int,
        dropout: float,
        patch: int = 1,
    ):
        super().__init__()
        self.patch = patch
        sizes = (channels * patch**2, *filters)
        self.downs = nn.ModuleList(
            ResidualBlock(before, after) for before, after in zip(sizes[:-1], filters, strict=True)
        )
        self.bridge = ResidualBlock(filters[-1], bridge)
        above = (bridge, *reversed(filters))
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(before, after, 2, stride=2)
            for before, after in zip(above[:-1], reversed(filters), strict=True)
        )
        self.merges = nn.ModuleList(ResidualBlock(2 * count, count) for count in reversed(filters))
        self.drop = nn.Dropout(dropout)
        self.head = nn.Conv2d(filters[0], outputs * patch**2, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of each mask."""
        hidden = patches(images / 127.5 - 1.0, self.patch)
        skips = []
        for block in self.downs:
            hidden = block(hidden)
            skips.append(hidden)
            hidden = self.drop(functional.max_pool2d(hidden, 2))
        hidden = self.bridge(hidden)
        for up, merge, skip in zip(self.ups, self.merges, reversed(skips), strict=True):
            hidden = merge(self.drop(torch.cat([up(hidden), skip], dim=1)))
        return pixels(self.head(hidden).float(), self.patch)


def patches(images: torch.Tensor, side: int) -> torch.Tensor:
    """As `acsnet_jax.models.blocks.patches`, channels in the same order."""
    batch, channels, height, width = images.shape
    cells = images.reshape(batch, channels, height // side, side, width // side, side)
    return cells.permute(0, 3, 5, 1, 2, 4).reshape(batch, -1, height // side, width // side)


def pixels(inputs: torch.Tensor, side: int) -> torch.Tensor:
    """The inverse of `patches`."""
    batch, channels, height, width = inputs.shape
    cells = inputs.reshape(batch, side, side, channels // side**2, height, width)
    return cells.permute(0, 3, 4, 1, 5, 2).reshape(batch, -1, height * side, width * side)


def segmentation_loss(
    logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, *, beta: float
) -> torch.Tensor:
    """As `acsnet_jax.losses.segmentation_loss`, weighed and averaged as a step does."""
    hit = targets * functional.logsigmoid(logits)
    miss = (1 - targets) * functional.logsigmoid(-logits)
    pixel = -(beta * hit + (1 - beta) * miss).mean((2, 3))
    probability = torch.sigmoid(logits)
    hits = 2 * (probability * targets).sum((2, 3))
    false_positives = (probability * (1 - targets)).sum((2, 3))
    false_negatives = ((1 - probability) * targets).sum((2, 3))
    total = hits + beta * false_positives + (1 - beta) * false_negatives
    return ((pixel + 1 - hits / total) / 2 * weights).mean()


def copied(model: ResUNet, variables: Mapping[str, Any]) -> ResUNet:
    """The model with a Flax network's parameters and batch statistics."""
    params, statistics = variables["params"], variables["batch_stats"]

    def put(tensor: Any, values: Any) -> None:
        with torch.no_grad():
            tensor.copy_(torch.from_numpy(np.array(values, order="C")))

    def convolution(layer: nn.Conv2d, own: Mapping[str, Any]) -> None:
        put(layer.weight, np.transpose(own["kernel"], (3, 2, 0, 1)))
        put(layer.bias, own["bias"])

    blocks = [*model.downs, model.bridge, *model.merges]
    for index, block in enumerate(blocks):
        own, means = (tree[f"ResidualBlock_{index}"] for tree in (params, statistics))
        for part in range(2):
            convolution(block.convolutions[part], own[f"Conv_{part}"])
            norm, scale = block.norms[part], own[f"BatchNorm_{part}"]
            put(norm.weight, scale["scale"])
            put(norm.bias, scale["bias"])
            put(norm.running_mean, means[f"BatchNorm_{part}"]["mean"])
            put(norm.running_var, means[f"BatchNorm_{part}"]["var"])
        convolution(block.projection, own["Conv_2"])
    for level, up in enumerate(model.ups):
        own = params[f"ConvTranspose_{level}"]
        # Flax runs through a transposed kernel backwards
        put(up.weight, np.transpose(np.asarray(own["kernel"])[::-1, ::-1], (2, 3, 0, 1)))
        put(up.bias, own["bias"])
    convolution(model.head, params["Conv_0"])
    return model


def training_step(
    model: nn.Module,
    images: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray,
    *,
    beta: float,
    learning_rate: float,
    half: bool,
    compiled: bool,
) -> Callable[[], torch.Tensor]:
    """One step on a batch that lies on the device: forward, backward, Adam; gives the loss.

    Args:
        model: the network.
        images: ``[batch, height, width, channels]``.
        targets: ``[batch, height, width, outputs]``.
        weights: ``[batch, outputs]``.
        beta: of the loss.
        learning_rate: of Adam.
        half: whether to compute in bfloat16.
        compiled: whether to go through ``torch.compile``.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = model.to(device).to(memory_format=torch.channels_last).train()
    inputs, masks = (
        torch.from_numpy(np.moveaxis(array, -1, 1).copy())
        .to(device)
        .contiguous(memory_format=torch.channels_last)
        for array in (images, targets)
    )
    shares = torch.from_numpy(weights.copy()).to(device)
    optimiser = torch.optim.Adam(
        model.parameters(), lr=learning_rate, fused=device.type == "cuda" or None
    )

    def loss_of(inputs: torch.Tensor) -> torch.Tensor:
        return segmentation_loss(model(inputs), masks, shares, beta=beta)

    # sizes are fixed: symbolic ones of an earlier contender fail where a network folds patches
    run = torch.compile(loss_of, dynamic=False) if compiled else loss_of

    def step() -> torch.Tensor:
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16) if half else contextlib.nullcontext():
            loss = run(inputs)
        loss.backward()
        optimiser.step()
        return loss.detach()

    return step


def wait(loss: torch.Tensor) -> None:
    """Until the device is done."""
    loss.item()


def compiler_fails() -> str:
    """Why ``torch.compile`` does not work here; empty if it does."""
    inductor.force_disable_caches = True  # compile times are to be measured
    try:
        torch.compile(lambda x: torch.relu(x) + 1)(torch.ones(4))
    except RuntimeError as error:
        return str(error).strip().splitlines()[0]
    return ""


def environment(threads: int) -> dict[str, str]:
    """Version and device of PyTorch, after setting its number of threads."""
    torch.set_num_threads(threads)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    return {"torch": torch.__version__, "torch_device": device, "torch_threads": str(threads)}


def reset_peak() -> None:
    """Forget what the GPU held at most."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peak_mib() -> float | None:
    """MiB that the GPU held at most since; None without one."""
    return torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else None
