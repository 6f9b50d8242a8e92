"""Populations that a card draws where it needs them, instead of keeping them."""
