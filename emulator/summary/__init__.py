"""What of a model is on tiles, what is not and why, and what is wrong with it."""
