"""Synthetic short-axis cohort in LGE and cine contrast: the embedded default data.

Arrays are ``[slices, height, width]``, apex first; intensities are magnitudes in arbitrary units,
never negative. Host side, numpy and SciPy; everything follows from (seed, patient, modality).
"""

from acsnet_jax.synthesis.phantom.dicom import write_dicom
from acsnet_jax.synthesis.phantom.scan import make_cohort, make_scan

__all__ = ["make_cohort", "make_scan", "write_dicom"]
