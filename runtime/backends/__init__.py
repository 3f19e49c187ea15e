"""Inference libraries behind one protocol: a graph takes and returns named arrays."""
