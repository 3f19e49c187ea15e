"""Calibration of what is exported, from unlabelled data: thresholds now, INT8 ranges later. Knows no torch."""
