# pyright: reportMissingImports=false, reportCallIssue=false
"""A plain 2-D U-Net in PyTorch: one network, whole slices, one label a pixel.

Images are ``[slices, height, width]`` of mean 0 and standard deviation 1, labels of the same shape
are background, blood pool, myocardium and infarct (0 to 3).
"""

import contextlib
import dataclasses
import logging
import math
import time
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch import nn
from torch.nn import functional

CLASSES = 4
_TURN_DEG, _SCALE, _SHIFT = 20.0, 0.15, 0.1  # shift: of half the picture
_CONTRAST, _BRIGHTNESS, _GAMMA, _NOISE = 0.25, 0.25, 0.3, 0.15

_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How the network looks and is trained.

    Attributes:
        filters: of each level, finest first; the last is the coarsest.
        epochs: passes over the training slices.
        batch_size: slices a step.
        learning_rate: of Adam, at first; it falls to 0 by a cosine.
        seed: of parameters, order and augmentation.
    """

    filters: tuple[int, ...] = (12, 24, 48, 96, 192)
    epochs: int = 70
    batch_size: int = 16
    learning_rate: float = 2e-3
    seed: int = 0


class UNet(nn.Module):
    """Ronneberger's U-Net with batch normalisation and padded convolutions."""

    def __init__(self, filters: Sequence[int]):
        super().__init__()
        sizes = (1, *filters)
        self.downs = nn.ModuleList(map(_block, sizes[:-1], sizes[1:]))
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(count, count // 2, 2, stride=2) for count in filters[:0:-1]
        )
        self.merges = nn.ModuleList(
            _block(fine + coarse // 2, fine)
            for coarse, fine in zip(filters[:0:-1], filters[-2::-1], strict=True)
        )
        self.head = nn.Conv2d(filters[0], CLASSES, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits ``[batch, classes, height, width]`` of ``[batch, 1, height, width]``."""
        hidden, skips = images, []
        for level, block in enumerate(self.downs):
            hidden = block(functional.max_pool2d(hidden, 2) if level else hidden)
            skips.append(hidden)
        for up, merge, skip in zip(self.ups, self.merges, skips[-2::-1], strict=True):
            hidden = merge(torch.cat([up(hidden), skip], dim=1))
        return self.head(hidden)


def _block(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(),
        nn.Conv2d(after, after, 3, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(),
    )


@contextlib.contextmanager
def denormals_as_zero() -> Iterator[None]:
    """They slow a training down. Only while it lasts: SciPy's KDTree crashes where they are 0."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@denormals_as_zero()
def train(
    images: Float32[np.ndarray, "slices height width"],
    labels: UInt8[np.ndarray, "slices height width"],
    recipe: Recipe,
    *,
    name: str,
) -> UNet:
    """A trained network.

    Args:
        images: training slices.
        labels: what the expert drew on them.
        recipe: of the training.
        name: of what is trained, for the log.
    """
    device = _device()
    torch.manual_seed(recipe.seed)
    model = UNet(recipe.filters).to(device).to(memory_format=torch.channels_last).train()
    optimiser = torch.optim.Adam(model.parameters(), lr=recipe.learning_rate)
    steps = max(len(images) // recipe.batch_size, 1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, recipe.epochs * steps)
    slices, truth = torch.from_numpy(images)[:, None], torch.from_numpy(labels)
    for epoch in range(recipe.epochs):
        start, total = time.perf_counter(), 0.0
        order = torch.randperm(len(images))
        for step in range(steps):
            chosen = order[step * recipe.batch_size : (step + 1) * recipe.batch_size]
            inputs, targets = augment(slices[chosen].to(device), truth[chosen].to(device))
            optimiser.zero_grad(set_to_none=True)
            loss = loss_of(model(inputs.contiguous(memory_format=torch.channels_last)), targets)
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item()
        if not math.isfinite(total):
            raise FloatingPointError(f"{name}: the loss is not finite in epoch {epoch + 1}")
        seconds = time.perf_counter() - start
        _LOG.info(
            "%s epoch %d/%d: loss %.4f (%.1f slices/s, %.0f min to go)",
            name,
            epoch + 1,
            recipe.epochs,
            total / steps,
            steps * recipe.batch_size / seconds,
            (recipe.epochs - epoch - 1) * seconds / 60,
        )
    return model.eval()


def loss_of(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Cross-entropy and the soft Dice loss of the three structures, counted over the batch."""
    probability = logits.softmax(dim=1)
    truth = functional.one_hot(targets, CLASSES).movedim(-1, 1).float()
    both = (probability * truth).sum((0, 2, 3))[1:]
    either = (probability + truth).sum((0, 2, 3))[1:]
    return functional.cross_entropy(logits, targets) + 1 - ((2 * both + 1) / (either + 1)).mean()


def augment(images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Quarter turns, mirrors, turns, scales, shifts; contrast, brightness, gamma and noise."""
    count, device = len(images), images.device

    def uniform(limit: float, *shape: int) -> torch.Tensor:
        return limit * (2 * torch.rand(count, *shape, device=device) - 1)

    quarter = torch.randint(0, 4, (count,), device=device)
    angle = uniform(math.radians(_TURN_DEG)) + quarter * (math.pi / 2)
    mirror = 1 - 2 * torch.randint(0, 2, (count,), device=device)
    cosine, sine = torch.cos(angle), torch.sin(angle)
    turn = torch.stack([cosine * mirror, -sine, sine * mirror, cosine], -1).reshape(-1, 2, 2)
    theta = torch.cat([turn / (1 + uniform(_SCALE, 1, 1)), uniform(_SHIFT, 2, 1)], dim=-1)
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    images = functional.grid_sample(images, grid, align_corners=False)
    drawn = labels[:, None].float()
    drawn = functional.grid_sample(drawn, grid, mode="nearest", align_corners=False)

    low, high = images.amin((1, 2, 3), keepdim=True), images.amax((1, 2, 3), keepdim=True)
    span = (high - low).clamp_min(1e-6)
    images = low + span * ((images - low) / span) ** torch.exp(uniform(_GAMMA, 1, 1, 1))
    images = images * (1 + uniform(_CONTRAST, 1, 1, 1)) + uniform(_BRIGHTNESS, 1, 1, 1)
    level = _NOISE * torch.rand(count, 1, 1, 1, device=device)
    return images + level * torch.randn_like(images), drawn[:, 0].long()


def probabilities(
    model: UNet, images: Float32[np.ndarray, "slices height width"], *, mirrored: bool
) -> Float32[np.ndarray, "classes slices height width"]:
    """Of each label.

    Args:
        model: a trained network.
        images: of one scan.
        mirrored: whether to average over the eight turned and mirrored pictures.
    """
    inputs = torch.from_numpy(images)[:, None].to(_device())
    total = torch.zeros(len(images), CLASSES, *images.shape[1:], device=inputs.device)
    poses = [(k, flip) for flip in (False, True) for k in range(4)] if mirrored else [(0, False)]
    with torch.no_grad():
        for turns, flip in poses:
            seen = torch.rot90(inputs.flip(-1) if flip else inputs, turns, (2, 3))
            found = torch.rot90(model(seen).softmax(dim=1), -turns, (2, 3))
            total += found.flip(-1) if flip else found
    return (total / len(poses)).movedim(1, 0).contiguous().cpu().numpy()


def use_threads(count: int) -> None:
    """Of the processor."""
    torch.set_num_threads(count)


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
