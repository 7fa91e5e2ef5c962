"""A folder that a Grafana reads at its start: dashboards, and the Prometheus they ask.

https://grafana.com/docs/grafana/latest/administration/provisioning/ has the files' fields.
"""

import json
from pathlib import Path

from designs.monitoring import dashboards
from designs.monitoring.grafana import Dashboard, model
from designs.monitoring.rules import as_yaml

DASHBOARDS = "dashboards"  # below the folder; GF_PATHS_PROVISIONING names the other, `provisioning`


def dashboard_file(dashboard: Dashboard) -> str:
    """The JSON that Grafana reads, and its import page takes."""
    return json.dumps(model(dashboard), indent=2) + "\n"


def write(folder: Path, prometheus_url: str) -> list[Path]:
    """Write everything below `folder`, and return the files."""
    found = {folder / DASHBOARDS / f"{each.uid}.json": dashboard_file(each) for each in dashboards.every()}
    source = {"name": "drillyard", "type": "prometheus", "url": prometheus_url, "access": "proxy", "isDefault": True}
    provider = {"name": "drillyard", "type": "file", "options": {"path": str((folder / DASHBOARDS).resolve())}}
    for kind, content in (
        ("datasources", {"apiVersion": 1, "datasources": [source]}),
        ("dashboards", {"apiVersion": 1, "providers": [provider]}),
    ):
        found[folder / "provisioning" / kind / "drillyard.yaml"] = as_yaml(content)
    for path, text in found.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return list(found)
