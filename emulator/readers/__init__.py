"""Models as others hand them over: a Python file, ONNX, a Hugging Face configuration, NetWork.csv."""
