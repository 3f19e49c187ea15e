"""ONNX graphs to TensorRT engines, each compiled in a process of its own. Loads no torch and no onnx."""
