"""The Open Inference Protocol v2 over gRPC: messages, conversion, and the service's six methods; nothing of Ray."""
