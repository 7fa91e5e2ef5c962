"""The stores of a larger installation on one laptop: PostgreSQL, an S3 server, Redis, and MLflow's server on them."""

from drillyard.stack.stack import Stack, run

__all__ = ["Stack", "run"]
