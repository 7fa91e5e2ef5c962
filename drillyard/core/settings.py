"""The environment, read once in main functions into one frozen value."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import Field

from drillyard.core.contract import Frozen
from drillyard.core.errors import UsageError

# What the libraries we stand on say to a user of ours: warnings only.
QUIET_LIBRARIES = {
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}

# What drillyard turns off in the libraries it stands on. Set (unless the user set them) before those are imported.
NO_TELEMETRY = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "ORT_DISABLE_TELEMETRY": "1",  # without it ONNX Runtime 1.32 keeps a device id and events, and sends them
    "DO_NOT_TRACK": "1",
}


class Settings(Frozen):
    """Where state lies and which servers are used; every field names its environment variable."""

    home: Path  # DRILLYARD_HOME: state of this checkout; default .drillyard in the working folder
    cache: Path  # DRILLYARD_CACHE: verified downloads, shared by checkouts; default the user's cache folder
    data_dir: Path | None  # DRILLYARD_DATA_DIR: files supplied by hand, looked at before any download
    tracking_uri: str  # MLFLOW_TRACKING_URI: default SQLite under home
    ray_address: str | None  # RAY_ADDRESS: an existing cluster; default a local one for each command
    api_key: str | None = Field(default=None, exclude=True, repr=False)  # DRILLYARD_API_KEY: shown to a server
    server_keys: tuple[str, ...] = ()  # DRILLYARD_SERVER_KEYS: API keys of a server as NAME:SHA256, white space between

    @classmethod
    def from_env(cls, env: Mapping[str, str], cwd: Path | None = None) -> Self:
        home = ((cwd or Path.cwd()) / env.get("DRILLYARD_HOME", ".drillyard")).resolve()
        default_cache = Path(env.get("XDG_CACHE_HOME") or Path(env.get("HOME", "/tmp")) / ".cache") / "drillyard"
        data_dir = env.get("DRILLYARD_DATA_DIR")
        return cls(
            home=home,
            cache=Path(env.get("DRILLYARD_CACHE") or default_cache).resolve(),
            data_dir=Path(data_dir).resolve() if data_dir else None,
            tracking_uri=env.get("MLFLOW_TRACKING_URI") or f"sqlite:///{home / 'mlflow.db'}",
            ray_address=env.get("RAY_ADDRESS") or None,
            api_key=env.get("DRILLYARD_API_KEY") or None,
            server_keys=tuple(env.get("DRILLYARD_SERVER_KEYS", "").split()),
        )

    @property
    def artifacts(self) -> Path:
        """MLflow's artifact root when the store is the embedded one."""
        return self.home / "artifacts"

    @property
    def models(self) -> Path:
        """Verified copies of registered models: <name>/<version>/."""
        return self.home / "models"

    @property
    def runs(self) -> Path:
        """Training runs as written by the trainer, kept until (and after) they are tracked."""
        return self.home / "runs"

    @property
    def reports(self) -> Path:
        return self.home / "reports"

    @property
    def keys_file(self) -> Path:
        """Names and hashes of the API keys made by `drillyard serve key add`."""
        return self.home / "api-keys"

    @property
    def serving_log(self) -> Path:
        """What the processes of this home's server log, as JSON lines; the server before it left `.1` behind it."""
        return self.home / "logs" / "serving.jsonl"

    @property
    def server_state(self) -> Path:
        """Process ids and addresses of a server started by `drillyard serve up`."""
        return self.home / "server.json"

    def make_home(self) -> None:
        """Make the home where it is missing. Raises UsageError when nothing can be written there."""
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=self.home).close()
        except OSError as error:
            valid = f"a folder to write in ({error.strerror})"
            raise UsageError("DRILLYARD_HOME", str(self.home), valid) from None
