"""Export of models to ONNX and OpenVINO files, each with a certificate of its accuracy."""
