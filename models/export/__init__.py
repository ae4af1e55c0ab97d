"""From a trained network to a file that an engine runs: `onnx_file` exports, `compilation` compiles for a GPU."""
