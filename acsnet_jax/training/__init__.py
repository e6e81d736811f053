"""Training: cohorts to arrays, state, steps, sharding, checkpoints and the loop."""
