"""A server's own metrics, before and after a drill."""

import re
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

from drillyard.core.errors import ServiceUnreachable

_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$")  # name, labels, value
_MODEL = re.compile(r'(?:^|,)model="([^"]*)"')
_TIMEOUT_S = 10.0


def read(url: str, model: str, api_key: str | None = None) -> dict[str, float]:
    """`/metrics` of that model, by `summed`; empty when this server has none. Raises ServiceUnreachable."""
    parts = urlsplit(url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.netloc.rpartition("@")[2], timeout=_TIMEOUT_S)
    try:
        path = parts.path.rstrip("/") + "/metrics"
        connection.request("GET", path, headers={"Authorization": f"Bearer {api_key}"} if api_key else {})
        response = connection.getresponse()
        text = response.read().decode()
    except (OSError, HTTPException) as error:
        raise ServiceUnreachable("/metrics", url, f"it said: {error}") from error
    finally:
        connection.close()
    return summed(text, model) if response.status == HTTPStatus.OK else {}


def summed(text: str, model: str) -> dict[str, float]:
    """Prometheus' text format: metric name -> sum over its label sets, of a drift index the largest.

    Another model's samples are left out; what has no such label is the whole server's.
    """
    found: dict[str, float] = {}
    for line in text.splitlines():
        if match := _SAMPLE.match(line):
            if (labelled := _MODEL.search(match[2] or "")) and labelled[1] != model:
                continue
            name, value = match[1], float(match[3])
            found[name] = max(found.get(name, 0.0), value) if name.endswith("_psi") else found.get(name, 0.0) + value
    return found


def figures(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """What a drill's result keeps: by how much each counter grew, rows of a call of the model, and drift at its end."""
    grown = {name: value - before.get(name, 0.0) for name, value in after.items()}
    kept = {name: value for name, value in grown.items() if name.endswith("_total")}
    if calls := grown.get("drillyard_batch_rows_count"):
        kept["rows_per_call"] = grown["drillyard_batch_rows_sum"] / calls
    for name in ("input_drift_psi", "score_drift_psi"):
        if (index := after.get(f"drillyard_{name}")) is not None:
            kept[name] = index
    return kept
