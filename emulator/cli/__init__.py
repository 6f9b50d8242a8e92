"""The command crossgrid."""
