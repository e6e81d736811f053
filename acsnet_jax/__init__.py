"""ACSNet in JAX: anatomically guaranteed LV and scar segmentation on LGE cardiac MR.

Axes everywhere: ``slices`` run from apex to base, ``height`` is the image row and ``width`` the
column. Spacings are ``(row, column)`` in millimetres.
"""

from acsnet_jax import xla

__version__ = "0.2.0"

xla.disable_ynn_fusion()
