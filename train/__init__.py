"""Training from captions without times, and the rendered scenes to learn from. Knows nothing of ONNX or engines."""

from wsra.runtime import quiet as quiet
