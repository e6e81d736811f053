"""ACSNet in JAX: anatomically guaranteed LV and scar segmentation on LGE cardiac MR.

Axes everywhere: ``slices`` run from apex to base, ``height`` is the image row and ``width`` the
column. Spacings are ``(row, column)`` in millimetres.
"""

__version__ = "0.1.0"
