"""Stage 3 as an object: masks of any scan, corrected and certified on the grid they are written on.

- `CorrectionOptions`: how masks are corrected.
- `Corrector`: a trained stage 3.
- `NativeCorrection`: corrected masks, with the route of each.
- `blood_pools`: what walls surround.
- `certify`: what was done to each slice.
- `correct_native`: masks of any origin, corrected on their own grid.
- `correct_stack`: masks on the corrector's grid, corrected there.
- `kept_slices`: slices between apex and base.
- `lost_message`: what is told of slices for which nothing valid was found.
- `lost_slices`: which these are.
- `measure_stack`: measures of masks of any picture size, and which criteria they fail.
- `ShapeChanges`: of areas, by valid shapes near the corrected ones.
- `shape_draws`: these.
- `valid_stack`: delta of masks of any picture size.
"""

from acsnet_jax.correction.certificates import certify, lost_message, lost_slices
from acsnet_jax.correction.check import blood_pools, kept_slices, measure_stack, valid_stack
from acsnet_jax.correction.corrector import CorrectionOptions, Corrector
from acsnet_jax.correction.draws import ShapeChanges, shape_draws
from acsnet_jax.correction.native import NativeCorrection, correct_native
from acsnet_jax.correction.windows import correct_stack

__all__ = [
    "CorrectionOptions",
    "Corrector",
    "NativeCorrection",
    "ShapeChanges",
    "blood_pools",
    "certify",
    "correct_native",
    "correct_stack",
    "kept_slices",
    "lost_message",
    "lost_slices",
    "measure_stack",
    "shape_draws",
    "valid_stack",
]
