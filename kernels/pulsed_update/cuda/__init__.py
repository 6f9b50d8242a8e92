"""The pulsed update on a CUDA card (Triton)."""
