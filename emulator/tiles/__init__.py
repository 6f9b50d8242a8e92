"""Physical tiles: their state, what they can do, who hosts them. Neither torch nor Ray."""
