"""A weight matrix as torch sees it, whose numbers are on tiles."""
