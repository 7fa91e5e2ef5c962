"""The instruments put to the test: a server with known faults, a model that everybody can compute, the checks."""
