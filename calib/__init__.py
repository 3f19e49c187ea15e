"""Calibration of exported models from captions without times: the threshold theta and INT8 ranges. Never imports torch."""

from wsra.runtime import quiet as quiet
