"""What the entry points do, a module each: a config in, library calls, files in a folder.

Nothing is imported here, so that a program loads only what it needs.

- `check`: masks of any tool against the criteria.
- `correct`: the same masks, corrected on their own grid.
- `damage`: what the correction is worth on damaged masks.
- `doctor`: an installation checked.
- `evaluate`: a bundle on held-out patients, with tables, figures and report.
- `fit_latent`: the latent space of a trained autoencoder, and the bundle.
- `predict`: scans segmented.
- `prepare`: a cohort looked at and stored.
- `reproduce`: all of it.
- `select_autoencoder`: its dimension, epochs and damage, inside the training patients.
"""
