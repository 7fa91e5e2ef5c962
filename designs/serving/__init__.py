"""The serving tier itself: what stands between a request and a model."""
