"""Convolutions on tiles, and what turns them round."""
