"""The other servers, each one file that runs in an environment of its own, and what they share (`model.py`).

Nothing here may import the project's other packages: their dependencies are not in a peer's environment.
"""
