"""ACSNet in JAX: anatomically guaranteed LV and scar segmentation on LGE cardiac MR.

Axes everywhere: ``slices`` run from apex to base, ``height`` is the image row and ``width`` the
column. Spacings are ``(row, column)`` in millimetres.
"""

import importlib
from types import ModuleType

from acsnet_jax import xla

__version__ = "0.2.0"

xla.disable_ynn_fusion()


def __getattr__(name: str) -> ModuleType:
    """Imports a part when it is asked for: ``acsnet_jax.anatomy``; a whole import takes seconds."""
    if not name.startswith("_"):
        full = f"{__name__}.{name}"
        try:
            return importlib.import_module(full)
        except ModuleNotFoundError as error:
            if error.name != full:
                raise
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
