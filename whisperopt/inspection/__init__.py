"""What a checkpoint, a release, an artifact or an ONNX file holds, and what targets make of it."""
