"""Preprocessing on the host, in NumPy: orientation, grids, crops, intensities, cine to LGE-like."""
