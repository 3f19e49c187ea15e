"""From a checkpoint to a bundle that a device can run: graphs, precisions, engines, parity."""

from wsra.runtime import quiet as quiet
