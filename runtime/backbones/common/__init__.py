"""What backbones share: their protocols, the JSON beside an ONNX graph, and frames as the input of a graph."""
