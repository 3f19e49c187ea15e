"""Calibration of what is exported, from unlabelled data: thresholds now, INT8 ranges later. Knows no torch."""

from wsra.runtime import quiet as quiet
