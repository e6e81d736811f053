"""Stage 3 as an object: masks of any scan, corrected and certified on their own grid."""
