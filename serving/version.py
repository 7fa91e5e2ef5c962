"""The server's own version."""

from importlib.metadata import PackageNotFoundError, version


def server_version() -> str:
    """The installed distribution's version."""
    try:
        return version("drillyard")
    except PackageNotFoundError:  # a checkout that was not installed
        return "0+checkout"
