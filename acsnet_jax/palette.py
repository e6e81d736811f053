"""Colours of the structures, in every picture and in DICOM; told apart by colour-blind readers too.

Their lightness in greyscale differs as well: gray zone is bright, core scar dark.
"""

WALL = "#33d6ff"
"""Outline of the myocardium."""
CAVITY = "#9be8ff"
"""Outline of the blood pool, seen where no wall runs beside it."""
ENHANCEMENT = "#ff9a1f"
"""Gray zone and core together."""
GRAY_ZONE = "#ffd21f"
CORE = "#e3212b"
EXPERT = "#ffffff"
"""Outline of the wall as an expert drew it."""
EXPERT_SCAR = "#ff9ae5"
"""Outline of enhancement as an expert drew it."""
NO_REFLOW = "#8a5cf6"
"""The infarct's dark core."""
BEFORE = "#8dff6b"
"""Outline of the wall before the anatomical correction."""
