"""Image classification: a small residual CNN."""
