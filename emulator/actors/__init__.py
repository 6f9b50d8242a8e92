"""Tiles in Ray actors: where a process starts, what it hosts, and who follows one that dies."""
