"""Training steps that a card repeats by itself, as graphs that were captured once."""
