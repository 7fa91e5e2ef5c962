"""Faults done to a running server during a drill, and when its callers noticed them and were rid of them."""
