"""Registered model to answered request."""
