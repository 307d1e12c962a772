"""Fitted models as ONNX graphs, for servers without Python."""
