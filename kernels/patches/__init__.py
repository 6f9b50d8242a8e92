"""Patches of images: a convolution is a matrix product of the kernel with every patch."""
