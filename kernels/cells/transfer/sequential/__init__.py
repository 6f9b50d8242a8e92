"""The sequential parts of transfers: what a buffer, a chopper and a running mean do, read after read."""
