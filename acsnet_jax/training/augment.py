"""Random turns, scales, shifts and intensities, inside the jitted train step.

Images are ``[batch, height, width, channels]``, intensities in [0, 255]; masks are in [0, 1].
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates
from jaxtyping import Array, Float, PRNGKeyArray

from acsnet_jax.types import InputError

Images = Float[Array, "batch height width channels"]
Masks = Float[Array, "batch height width"]

_SECTOR_RAD = math.radians(150.0)  # largest missing sector
_DISCS = 4  # at most so many are cut out or added
_DISC_RADIUS = (0.05, 0.3)  # of the mask's own radius


@dataclasses.dataclass(frozen=True)
class Augment:
    """Ranges of the random changes; 0 switches one off.

    Attributes:
        dihedral: quarter turns and mirrorings. Patients differ by these where the header does not
            tell the orientation, and the networks become indifferent to them.
        rotation_deg: largest rotation either way.
        scale: largest relative change of size either way.
        shift_px: largest shift in each direction.
        contrast: largest relative change of contrast about the mean either way.
        brightness: largest shift of intensity either way, of 255.
        gamma: largest logarithm of the exponent either way.
        noise: standard deviation of added noise, of 255, at most.
        box: largest relative change of stage 2's box either way.
        damage: share of the masks that the autoencoder sees damaged, to rebuild them whole. It
            closes rings: leave it 0 where experts draw open ones.
    """

    dihedral: bool = True
    rotation_deg: float = 15.0
    scale: float = 0.1
    shift_px: float = 4.0
    contrast: float = 0.0
    brightness: float = 0.0
    gamma: float = 0.0
    noise: float = 0.0
    box: float = 0.0
    damage: float = 0.0

    def __post_init__(self) -> None:
        """Raises `InputError` for ranges that are none."""
        most = {"scale": 0.9, "contrast": 1.0, "brightness": 1.0, "box": 0.9, "damage": 1.0}
        for field in dataclasses.fields(self):
            value, limit = getattr(self, field.name), most.get(field.name, math.inf)
            if not 0 <= value <= limit:
                wanted = "0 or more" if limit == math.inf else f"0 to {limit:g}"
                raise InputError(f"augment.{field.name} is {value}: give {wanted}")


NOTHING = Augment(dihedral=False, rotation_deg=0.0, scale=0.0, shift_px=0.0)
"""Leaves a sample as it is, but for the crop to the network's size."""


def warp(
    key: PRNGKeyArray, images: Images, size: int, augment: Augment
) -> Float[Array, "batch size size channels"]:
    """One random similarity per image, applied to all of its channels; linear, zeros beyond.

    The result shows the central `size` x `size` pixels, so that larger images give shifts without
    empty borders.
    """
    batch = images.shape[0]
    keys = jax.random.split(key, 4)
    angle = _symmetric(keys[0], (batch,), jnp.deg2rad(augment.rotation_deg))
    factor = 1 + _symmetric(keys[1], (batch,), augment.scale)
    shift = _symmetric(keys[2], (batch, 2), augment.shift_px)
    mirror = jnp.ones((batch,))
    if augment.dihedral:
        turn = jax.random.randint(keys[3], (batch,), 0, 8)
        angle = angle + (turn % 4).astype(jnp.float32) * (jnp.pi / 2)
        mirror = jnp.where(turn >= 4, -1.0, 1.0)
    return jax.vmap(_similarity, in_axes=(0, 0, 0, 0, 0, None))(
        images, angle, factor, mirror, shift, size
    )


def _similarity(image, angle, factor, mirror, shift, size):
    """Sample one ``[height, width, channels]`` image at the turned, scaled and shifted grid."""
    offset = jnp.arange(size, dtype=jnp.float32) - (size - 1) / 2
    row, column = jnp.meshgrid(offset, offset, indexing="ij")
    cosine, sine = jnp.cos(angle) / factor, jnp.sin(angle) / factor
    height, width, _ = image.shape
    source = (
        cosine * row - sine * mirror * column + (height - 1) / 2 + shift[0],
        sine * row + cosine * mirror * column + (width - 1) / 2 + shift[1],
    )

    def sample(channel):
        return map_coordinates(channel, source, order=1, mode="constant", cval=0.0)

    return jax.vmap(sample, in_axes=2, out_axes=2)(image)


def jitter_intensity(
    key: PRNGKeyArray, images: Float[Array, "batch height width *channels"], augment: Augment
) -> Float[Array, "batch height width *channels"]:
    """Random gamma, contrast, brightness and noise; stays in [0, 255].

    Neighbours in the channels change as their slice does, but for the noise.
    """
    shape = (images.shape[0], *(1 for _ in images.shape[1:]))
    keys = jax.random.split(key, 5)

    def draw(index: int, limit: float):
        return _symmetric(keys[index], shape, limit)

    unit = jnp.clip(images / 255, 1e-4, 1.0) ** jnp.exp(draw(0, augment.gamma))
    mean = unit.mean(axis=tuple(range(1, unit.ndim)), keepdims=True)
    unit = mean + (unit - mean) * (1 + draw(1, augment.contrast)) + draw(2, augment.brightness)
    if augment.noise:
        level = augment.noise * jax.random.uniform(keys[3], shape)
        unit = unit + level * jax.random.normal(keys[4], images.shape)
    return 255 * jnp.clip(unit, 0.0, 1.0)


def null_outside_box(
    key: PRNGKeyArray,
    images: Float[Array, "batch height width *channels"],
    half_side: Float[Array, "batch"],
    augment: Augment,
) -> Float[Array, "batch height width *channels"]:
    """Zero beyond a box of randomly changed size: what stage 1's box will look like."""
    half_side = half_side * (1 + _symmetric(key, half_side.shape, augment.box))
    size = images.shape[1]
    offset = jnp.abs(jnp.arange(size, dtype=jnp.float32) - size // 2)
    near = offset[None, :] <= half_side[:, None]
    both = near[:, :, None] & near[:, None, :]
    return jnp.where(both.reshape(both.shape + (1,) * (images.ndim - 3)), images, 0.0)


def damage_masks(key: PRNGKeyArray, masks: Masks, augment: Augment) -> Masks:
    """Some of the masks with a sector missing, or with discs cut out of them or put beside them.

    An autoencoder that rebuilds the whole mask learns to encode what was meant, where one that
    never saw damage may lose its way. This is not `acsnet_jax.evaluation.damage`, by which the
    study judges the correction.

    Args:
        key: decides which masks, and how.
        masks: 0 or 1; empty ones stay empty.
        augment: its ``damage`` is the share of the masks.

    References:
        Larrazabal et al., "Post-DAE: anatomically plausible segmentation via post-processing with
        denoising autoencoders", IEEE Trans. Medical Imaging 39, 2020.
    """
    keys = jax.random.split(key, len(masks))
    return jax.vmap(lambda key, mask: _damaged(key, mask, augment.damage))(keys, masks)


def _damaged(key, mask, share):
    """One mask ``[height, width]``."""
    chosen, kind, sector_key, place_key, size_key, sign_key = jax.random.split(key, 6)
    area = mask.sum()
    axes = [jnp.arange(size, dtype=jnp.float32) for size in mask.shape]
    row, column = (
        offset - (offset * mask).sum() / jnp.maximum(area, 1)
        for offset in jnp.meshgrid(*axes, indexing="ij")
    )
    radius = jnp.sqrt(2 * ((row**2 + column**2) * mask).sum() / jnp.maximum(area, 1))

    middle, width = jax.random.uniform(sector_key, (2,)) * jnp.array([2 * jnp.pi, _SECTOR_RAD])
    away = jnp.abs((jnp.arctan2(row, column) - middle) % (2 * jnp.pi) - jnp.pi)
    without_sector = jnp.where(away <= width / 2, 0.0, mask)

    with_discs = mask
    places = jax.random.uniform(place_key, (_DISCS, 2), minval=-1.2, maxval=1.2) * radius
    sizes = jax.random.uniform(size_key, (_DISCS,), minval=_DISC_RADIUS[0], maxval=_DISC_RADIUS[1])
    signs = jax.random.randint(sign_key, (_DISCS,), -1, 2)  # cut out, nothing, put there
    for place, size, sign in zip(places, sizes * radius, signs, strict=True):
        inside = (row - place[0]) ** 2 + (column - place[1]) ** 2 <= size**2
        with_discs = jnp.where(inside & (sign != 0), (sign > 0).astype(mask.dtype), with_discs)

    damaged = jnp.where(jax.random.bernoulli(kind), without_sector, with_discs)
    return jnp.where((area > 0) & jax.random.bernoulli(chosen, share), damaged, mask)


def _symmetric(key, shape, limit):
    """Uniform in [-limit, limit]."""
    return limit * jax.random.uniform(key, shape, minval=-1.0, maxval=1.0)
