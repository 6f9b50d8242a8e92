"""Tiles in Ray actors: where a process starts, and how messages travel."""
