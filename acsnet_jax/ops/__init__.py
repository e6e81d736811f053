"""Exact, batched operators on binary masks: bit-packing, filling, labelling, quads, distances."""
