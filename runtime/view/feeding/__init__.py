"""Extraction in the background, and what waits for it between two starts."""
