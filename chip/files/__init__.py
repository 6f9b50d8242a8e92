"""Plans for other tools."""
