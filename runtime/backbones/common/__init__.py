"""Code that backbones share: their protocols, the JSON settings of an ONNX graph, and frames as the input of a graph."""
