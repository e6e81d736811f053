"""What the compiler has to be told before jax starts; imports neither jax nor anything of ours."""

import importlib.metadata
import os
import sys
import warnings

AFFECTED = ("0.10.2", "0.11.0")
"""Releases of jaxlib whose reductions on a CPU are wrong, or crash, unless XLA is told."""

FLAG = "--xla_cpu_experimental_ynn_fusion_type"


def disable_ynn_fusion() -> bool:
    """Keep XLA's YNN fusion away from reductions, where the installed jaxlib needs it.

    jaxlib 0.10.2, the newest for Python 3.11, hands reductions on a CPU to YNNPACK, and gets some
    of them wrong without an error: the sum after a vmapped matrix-vector product, from 32,769 rows
    on (jax issue 39103). Products of seven axes and more crash it, and 0.11.0 too (39257, 40412).
    An empty list of fusion types avoids both. Earlier and later releases are right without it.
    ``tests/test_xla.py`` recomputes the known case and our own reductions in float64.

    Called by ``import acsnet_jax``. XLA reads ``XLA_FLAGS`` once, when jax first computes or counts
    its devices, so it is enough that this package is imported before that. What ``XLA_FLAGS`` says
    of the fusion already stays, as does the name of a file of flags.

    Returns:
        Whether reductions can be trusted, as far as is known: False, with a warning, if jax started
        before; and False if ``XLA_FLAGS`` switches a fusion of the affected releases on.
    """
    try:
        if importlib.metadata.version("jaxlib") not in AFFECTED:
            return True
    except importlib.metadata.PackageNotFoundError:  # whoever imports jax will hear of it
        return True
    flags = os.environ.get("XLA_FLAGS", "")
    if FLAG in flags:
        return f"{FLAG}= " in f"{flags} "
    if flags and not flags.lstrip().startswith("-"):
        return _warn(f"XLA_FLAGS names a file; add {FLAG}= to it")
    if _started():
        return _warn("jax started before acsnet_jax was imported; import acsnet_jax first")
    os.environ["XLA_FLAGS"] = f"{flags} {FLAG}=".strip()
    return True


def _started() -> bool:
    """Whether jax has its devices already, and with them its flags."""
    bridge = sys.modules.get("jax._src.xla_bridge")  # jax has no public word for it
    return bridge is not None and bridge.backends_are_initialized()


def _warn(reason: str) -> bool:
    version = importlib.metadata.version("jaxlib")
    warnings.warn(
        f"reductions on a CPU may be wrong: jaxlib {version} miscompiles some (jax issue 39103), "
        f"and it is too late or not ours to tell XLA. {reason}.",
        stacklevel=3,
    )
    return False
