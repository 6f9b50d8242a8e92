"""A run: ways in, steps, checkpoints, metrics, reports."""
