"""Authors the core model's ONNX graphs directly from tensors: nothing is traced."""
