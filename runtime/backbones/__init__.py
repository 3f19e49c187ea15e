"""What makes features of frames: the built-in `motion`, and any ONNX encoder."""
