"""The read of stacked tiles on CPUs (numba)."""
