"""Saved runs on disk: parts of raw bytes, written and read by whichever process has what is in them."""
