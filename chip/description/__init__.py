"""What a chip is: validated YAML that becomes a frozen Chip, and its converters."""
