"""Turn a checkpoint into a bundle that a device can run: graphs, precisions, gates and engines."""

from wsra.runtime import quiet as quiet
