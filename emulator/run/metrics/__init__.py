"""What Prometheus sees of a run, and reports: its totals and its tiles' counters."""
