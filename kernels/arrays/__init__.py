"""Populations of devices with their state, stacked over tiles; what sits at a crosspoint is a cell."""
