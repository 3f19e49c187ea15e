"""Metrics, protocols, controls and where the answers of an evaluation come from."""
