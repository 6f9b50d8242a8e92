"""The mapping plan: which block of which layer sits on which tile, and who waits for whom."""
