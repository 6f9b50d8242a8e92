"""Reads of stacked tiles: the periphery of a bank in one direction, by nodes, by slices."""
