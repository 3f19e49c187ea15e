"""Libraries that report home are told not to, before any of them is imported; child processes and workers inherit it (docs/privacy.md).

wsra itself reports through `logging`, under the name `wsra`: nothing is printed unless the command line or the caller attaches a handler.

Every package of wsra imports this module first. ONNX Runtime reads its variable when it is imported: later is too late, and its
`disable_telemetry_events` still writes a device id and a data base below the user's cache folder.
"""

from __future__ import annotations

import logging
import os

SILENCE = {
    "ORT_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}
os.environ.update(SILENCE)
logging.getLogger("wsra").addHandler(logging.NullHandler())  # else Python prints warnings that nobody handles
