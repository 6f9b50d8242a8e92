"""ONNX files as torch modules without numbers: layers that tiles can hold, and one module a further node."""
