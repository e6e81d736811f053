"""Preprocessing on the host, in NumPy: orientation, grids, crops, intensities, stage inputs.

- `crop_or_pad`: the square around a centre.
- `uncrop`: and back.
- `Grid`: how a working grid lies on a scan's own.
- `Working`: a scan on its working grid.
- `grid_over`: the working grid over slices of any origin.
- `make_grid`: the working grid of a scan.
- `masks_to_working`: masks on it.
- `to_native`: and back.
- `to_working`: a scan on it.
- `Scaling`: names of the scalings of stage 2.
- `clahe`: contrast-limited adaptive histogram equalisation.
- `match_histogram`: one picture with the histogram of another.
- `scale_slice`: stage 1's scaling.
- `scale_volume`: stage 2's scaling.
- `TURNS`: the eight ways in which a picture may lie.
- `apply_turn`: turns or mirrors pictures.
- `invert_turn`: and back.
- `InputSpec`: sizes, spacings and scalings of the networks' inputs.
- `lv_images`: stage 1's input.
- `myo_images`: stage 2's input.
"""

from acsnet_jax.preprocess.crop import crop_or_pad, uncrop
from acsnet_jax.preprocess.grid import (
    Grid,
    Working,
    grid_over,
    make_grid,
    masks_to_working,
    to_native,
    to_working,
)
from acsnet_jax.preprocess.intensity import (
    Scaling,
    clahe,
    match_histogram,
    scale_slice,
    scale_volume,
)
from acsnet_jax.preprocess.orient import TURNS, apply_turn, invert_turn
from acsnet_jax.preprocess.stages import InputSpec, lv_images, myo_images

__all__ = [
    "TURNS",
    "Grid",
    "InputSpec",
    "Scaling",
    "Working",
    "apply_turn",
    "clahe",
    "crop_or_pad",
    "grid_over",
    "invert_turn",
    "lv_images",
    "make_grid",
    "masks_to_working",
    "match_histogram",
    "myo_images",
    "scale_slice",
    "scale_volume",
    "to_native",
    "to_working",
    "uncrop",
]
