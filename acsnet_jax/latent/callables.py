"""Callables as arguments of a compiled program."""

from collections.abc import Callable
from typing import Any

import jax
from jax.tree_util import Partial


def as_argument(function: Callable | None) -> Any:
    """A callable as a pytree, or None as it is.

    A callable that is a pytree, such as `acsnet_jax.models.Decode` or a `jax.tree_util.Partial`,
    is passed on: its arrays are leaves, and programs are shared between systems of one
    architecture. A plain function has no leaves: it is compiled in and compared by identity.
    """
    if function is not None and jax.tree_util.all_leaves([function]):
        return Partial(function)
    return function
