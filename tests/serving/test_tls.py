"""Certificates are judged before anything starts; HAProxy gets them in its form, on the listener that is meant."""

import stat
import subprocess
from pathlib import Path

import pytest

from drillyard.core.contract import ModelRef
from drillyard.core.errors import UsageError
from drillyard.core.settings import Settings
from serving import lifecycle, tls
from serving.environment import haproxy_binary
from serving.haproxy import Listener, Queue, install
from serving.recipes import ServeConfig, laptop
from tests.support import certificates


def test_a_good_pair_passes_and_becomes_one_private_file(tmp_path: Path) -> None:
    cert, key = certificates.write(tmp_path)
    tls.check(cert, key)
    combined = tls.install(tmp_path, cert, key)
    assert stat.S_IMODE(combined.stat().st_mode) == 0o600
    assert combined.read_bytes().count(b"-----BEGIN") == 2


def test_what_could_not_be_served_is_named(tmp_path: Path) -> None:
    cert, key = certificates.write(tmp_path / "a")
    other_cert, other_key = certificates.write(tmp_path / "b")
    late_cert, late_key = certificates.write(tmp_path / "c", days=(-9, -1))
    early_cert, early_key = certificates.write(tmp_path / "d", days=(1, 9))
    locked_cert, locked_key = certificates.write(tmp_path / "e", password=b"x")
    for wrong_cert, wrong_key, words in (
        (tmp_path / "none", key, "--tls-cert=.*readable file"),
        (cert, tmp_path / "none", "--tls-key=.*readable file"),
        (key, key, "--tls-cert=.*certificates in PEM form"),
        (cert, other_key, "--tls-key=.*the private key of"),
        (other_cert, other_cert, "--tls-key=.*the private key of"),
        (late_cert, late_key, "--tls-cert=.*valid now"),
        (early_cert, early_key, "--tls-cert=.*valid now"),
        (locked_cert, locked_key, "--tls-key=.*not encrypted"),
    ):
        with pytest.raises(UsageError, match=words):
            tls.check(wrong_cert, wrong_key)


def test_a_server_with_a_bad_certificate_starts_nothing(tmp_path: Path) -> None:
    cert, key = certificates.write(tmp_path / "tls", days=(-9, -1))
    settings = Settings.from_env({"DRILLYARD_HOME": str(tmp_path / "home")})
    config = ServeConfig(models=(ModelRef.parse("fraud"),), tls_cert=cert, tls_key=key)
    assert config.url == "https://127.0.0.1:8000"
    with pytest.raises(UsageError, match="valid now"):
        lifecycle.start_detached(config, settings, on_progress=print)
    assert not settings.home.exists()


def test_half_a_pair_is_refused(tmp_path: Path) -> None:
    for half in ({"tls_cert": tmp_path}, {"tls_key": tmp_path}):
        with pytest.raises(UsageError, match="a certificate and its private key, or neither"):
            ServeConfig(models=laptop("fraud").models, **half)


QUEUE = Queue(per_replica=64, timeout_s=0.02)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "::1", "127.0.0.1", "localhost"])
def test_only_the_clients_listeners_are_moved_and_the_installed_haproxy_takes_the_result(
    tmp_path: Path, host: str
) -> None:
    cert, key = certificates.write(tmp_path / "tls")
    pem = tls.install(tmp_path, cert, key)
    (tmp_path / "503.http").unlink(missing_ok=True)
    wrapper = install(tmp_path, haproxy_binary(), Listener(host=host, port=8443, grpc_port=8445, pem=pem), QUEUE, ())
    config = tmp_path / "haproxy.cfg"
    config.write_text(
        "global\ndefaults\n    mode http\n    timeout connect 5s\n    timeout client 5s\n    timeout server 5s\n"
        "frontend prometheus\n    bind :84430\nfrontend http_frontend\n    bind 127.0.0.1:8443\n"
        "    default_backend b\nfrontend grpc_frontend\n    bind 127.0.0.1:8445 proto h2\n    default_backend b\n"
        "listen stats\n  bind *:1234\nbackend b\n"
        "    default-server inter 1s check\n    server s 127.0.0.1:9\n".replace("84430", "8444")
    )
    for _ in range(2):  # Serve may start HAProxy twice on one file
        done = subprocess.run([wrapper, "-c", "-f", config], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        binds = [line.split() for line in config.read_text().splitlines() if line.strip().startswith("bind ")]
        shown = f"[{host}]" if ":" in host else host
        assert [words[1] for words in binds] == ["127.0.0.1:8444", f"{shown}:8443", f"{shown}:8445", "127.0.0.1:1234"]
        assert binds[1][2:] == ["ssl", "crt", str(pem), "ssl-min-ver", "TLSv1.2", "alpn", "http/1.1"]
        assert binds[2][2:] == ["ssl", "crt", str(pem), "ssl-min-ver", "TLSv1.2", "alpn", "h2", "proto", "h2"]
    assert "path,url_dec -m beg -i /-/" in config.read_text()
