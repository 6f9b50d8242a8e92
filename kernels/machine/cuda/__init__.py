"""What kernels on a CUDA card share with the host: time, memory that is used again, what they found wrong."""
