"""The read of stacked tiles on a CUDA card (Triton)."""
