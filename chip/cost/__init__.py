"""What happens on a chip, counted, and what it costs."""
