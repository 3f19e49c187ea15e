"""Training from captions without times, and the rendered scenes used for it. Knows nothing of ONNX or engines."""

from wsra.runtime import quiet as quiet
