"""HAProxy's wrapper of a cluster's node, held against the template of the Ray that is installed."""

import re
import subprocess
from pathlib import Path

import pytest

from serving import clusters
from tests.support import haproxy_config


def corrected(folder: Path, patch: pytest.MonkeyPatch) -> str:
    """What the wrapper makes of a configuration, applied twice as when HAProxy is started again on the same file."""
    from ray.serve._private.haproxy import BackendConfig, HAProxyConfig
    from ray.serve.config import HTTPOptions

    patch.setattr(clusters, "HAPROXY_FOLDER", folder)
    patch.setattr(clusters, "HAPROXY", "/bin/true")
    everywhere = HTTPOptions(host="0.0.0.0", port=8000)
    config = HAProxyConfig(http_options=everywhere, error_file_path="/wrong/500.http", metrics_enabled=True)
    backend = BackendConfig(name="m", path_prefix="/m", app_name="m")
    file, wrapper = folder / "haproxy.cfg", folder / "wrapper"
    file.write_text(haproxy_config.rendered(config, [backend]))
    wrapper.write_text(clusters.haproxy_wrapper(clusters.small("fraud").config))
    wrapper.chmod(0o700)
    for _ in range(2):
        subprocess.run([wrapper, "-db", "-f", str(file)], check=True)
    return file.read_text()


def test_it_bounds_queues_and_leaves_the_health_route_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = corrected(tmp_path, monkeypatch)
    closed = re.findall(r"^ *http-request return status 404 .* if (.*)$", text, flags=re.MULTILINE)
    assert closed
    assert set(closed) == {"{ path,url_dec -m beg -i /-/ } !{ path /-/healthz }"}
    assert len(re.findall(r"default-server .*check maxconn 64$", text, flags=re.MULTILINE)) == 1
    assert "timeout queue 20ms" in text
    assert len(re.findall(r"errorfile 50[234] /etc/drillyard/haproxy/503.http", text)) == 3
    frontend = re.findall(r"^frontend http_frontend\n(?:.*\n)*?^ *bind (\S+)$", text, flags=re.MULTILINE)
    assert frontend == ["0.0.0.0:8000"]
    assert len(re.findall(r"^ *bind 127\.0\.0\.1:\d+$", text, flags=re.MULTILINE)) == 2  # statistics and metrics
