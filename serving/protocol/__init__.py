"""How requests and answers look on the wire; knows cards and arrays, nothing of Ray or onnxruntime."""
