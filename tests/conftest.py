"""The environment of all tests; it must stand before torch and ray are imported, which read it then."""

import os

# Test processes share two cores, and spinning thread pools fight over them.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

# As pipelines.cluster sets it; test modules import ray while they are collected.
os.environ["RAY_AUTH_MODE"] = "token"
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
