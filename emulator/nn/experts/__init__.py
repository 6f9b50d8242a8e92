"""Experts that are slices of one parameter, each on tiles of its own."""
