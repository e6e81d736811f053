"""Stage 3 as an object: masks of any scan, corrected and certified on the grid they are written on.

- `Corrector` and its `CorrectionOptions`: a trained stage 3;
- `correct_native`: masks of any origin, corrected on their own grid;
- `correct_stack`: masks on the corrector's grid, corrected there;
- `measure_stack`, `valid_stack`, `kept_slices`: delta and volume checks of any stack;
- `certify`, `lost_slices`, `lost_message`: what was done to each slice.
"""

from acsnet_jax.correction.certificates import certify, lost_message, lost_slices
from acsnet_jax.correction.check import kept_slices, measure_stack, valid_stack
from acsnet_jax.correction.corrector import CorrectionOptions, Corrector
from acsnet_jax.correction.native import NativeCorrection, correct_native, render_native
from acsnet_jax.correction.windows import correct_stack

__all__ = [
    "CorrectionOptions",
    "Corrector",
    "NativeCorrection",
    "certify",
    "correct_native",
    "correct_stack",
    "kept_slices",
    "lost_message",
    "lost_slices",
    "measure_stack",
    "render_native",
    "valid_stack",
]
