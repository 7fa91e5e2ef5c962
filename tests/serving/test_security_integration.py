"""The real server on every interface, with API keys and TLS; started once for all tests here."""

import http.client
import os
import re
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import orjson
import pytest

from drillyard.core import processes
from drillyard.core.contract import ModelRef
from drillyard.core.load import Load
from drillyard.core.ports import free_port
from drillyard.core.settings import Settings
from drillyard.core.slo import DrillPlan, Slo
from loadtests.launch import run_drill
from serving import keyfile, lifecycle
from serving.grpc import open_inference_pb2 as pb
from serving.recipes import ServeConfig
from serving.state import ServerState
from tests.support import certificates, sockets, tiny_models

pytestmark = pytest.mark.integration


@dataclass(frozen=True)
class Secured:
    """The running server, and what its clients have."""

    state: ServerState
    home: Path
    keys_file: Path
    key: str
    cert: Path

    @property
    def grpc_port(self) -> int:
        return int((self.state.grpc_address or "").rpartition(":")[2])


@pytest.fixture(scope="module")
def server(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    key = keyfile.add(settings.keys_file, "alice")
    cert, private = certificates.write(tmp_path_factory.mktemp("tls"))
    config = ServeConfig(
        models=(ModelRef.parse("fraud"), ModelRef.parse("vision")),
        host="0.0.0.0",
        port=free_port(),
        grpc_port=free_port(),
        keys_file=settings.keys_file,
        tls_cert=cert,
        tls_key=private,
    )
    state = lifecycle.start_detached(config, settings, on_progress=print)
    assert state.url == f"https://127.0.0.1:{config.port}"
    yield Secured(state=state, home=settings.home, keys_file=settings.keys_file, key=key, cert=cert)
    lifecycle.stop(settings)


def ask(
    server: Secured, method: str, path: str, key: str | None = None, body: bytes | None = None
) -> tuple[int, bytes]:
    """Status and body over TLS, the certificate and its name verified."""
    context = ssl.create_default_context(cafile=str(server.cert))
    connection = http.client.HTTPSConnection("127.0.0.1", server.state.port, timeout=20, context=context)
    return exchange(connection, method, path, key, body)


def exchange(
    connection: http.client.HTTPConnection, method: str, path: str, key: str | None, body: bytes | None
) -> tuple[int, bytes]:
    try:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        connection.request(method, path, body=body, headers=headers | {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = response.read()
        if response.status == 401:
            assert response.getheader("www-authenticate") == "Bearer"
            assert "API key" in orjson.loads(answer)["error"]
        return response.status, answer
    finally:
        connection.close()


FRAUD = orjson.dumps({"inputs": [{"name": "features", "datatype": "FP32", "shape": [1, 29], "data": [0.5] * 29}]})
FIELDS = orjson.dumps(dict.fromkeys(tiny_models.FEATURES, 0.0))


def test_every_route_but_live_and_ready_asks_for_a_key(server: Secured) -> None:
    status, document = ask(server, "GET", "/openapi.json", server.key)
    assert status == 200
    gets = [path for path, methods in orjson.loads(document)["paths"].items() if "get" in methods]
    assert len(gets) > 10
    for path in gets:
        open_to_all = path in ("/v2/health/live", "/v2/health/ready")
        assert ask(server, "GET", path)[0] == (200 if open_to_all else 401), path
        assert ask(server, "GET", path, "wrong")[0] == (200 if open_to_all else 401), path
        assert ask(server, "GET", path, server.key)[0] == 200, path
    for path, body in (("/v2/models/fraud/infer", FRAUD), ("/predict/fraud", FIELDS)):
        assert ask(server, "POST", path, None, body)[0] == 401
        assert ask(server, "POST", path, server.key, body)[0] == 200
    assert ask(server, "GET", "/nothing")[0] == 401
    assert ask(server, "GET", "/nothing", server.key)[0] == 404


def test_refusals_are_counted(server: Secured) -> None:
    def counts() -> dict[str, float]:
        lines = ask(server, "GET", "/metrics", server.key)[1].decode().splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if '"401"' in line)}

    before = counts()
    for path in ("/v2/models/fraud", "/v2/models/fraud", "/v2"):
        assert ask(server, "GET", path)[0] == 401
    changed = sorted(value - before.get(name, 0.0) for name, value in counts().items() if value != before.get(name))
    assert changed == [1.0, 2.0]  # the front's, and the fraud model's


@pytest.mark.parametrize("path", ["/-/routes", "/-/healthz", "/%2d/routes", "/-/ROUTES"])
def test_serves_own_routes_are_closed(server: Secured, path: str) -> None:
    status, body = ask(server, "GET", path)
    assert status == 404
    assert b"Front" not in body
    assert "no such route" in orjson.loads(body)["error"]


def test_only_haproxys_ports_are_open_beyond_loopback(server: Secured) -> None:
    found = sockets.listening([server.state.pid, *processes.belonging_to(server.state.run_dir)])
    assert {each.port for each in found if not each.loopback} == {server.state.port, server.grpc_port}
    assert len(found) > 5


def grpc_code(server: Secured, method: str, request: Any, key: str | None) -> grpc.StatusCode:
    """How a call over TLS ends, the certificate and its name verified."""
    metadata = (("authorization", f"Bearer {key}"),) if key is not None else ()
    trusted = grpc.ssl_channel_credentials(server.cert.read_bytes())
    with grpc.secure_channel(f"127.0.0.1:{server.grpc_port}", trusted) as channel:
        call = channel.unary_unary(f"/inference.GRPCInferenceService/{method}")
        try:
            _, ended = call.with_call(request.SerializeToString(), timeout=20, metadata=metadata)
        except grpc.RpcError as error:
            return error.code()
    return ended.code()


def test_grpc_asks_for_keys_too(server: Secured) -> None:
    ready = pb.ModelReadyRequest(name="fraud")
    codes = grpc.StatusCode
    for method in ("ServerLive", "ServerReady"):
        assert grpc_code(server, method, pb.ServerLiveRequest(), None) is codes.OK
    for key in (None, "wrong"):
        assert grpc_code(server, "ModelReady", ready, key) is codes.UNAUTHENTICATED
        assert grpc_code(server, "ServerMetadata", pb.ServerMetadataRequest(), key) is codes.UNAUTHENTICATED
    assert grpc_code(server, "ModelReady", ready, server.key) is codes.OK
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as plain, pytest.raises(grpc.RpcError):
        plain.unary_unary("/inference.GRPCInferenceService/ServerLive")(b"", timeout=5)


def test_a_replicas_own_port_asks_for_a_key_too(server: Secured) -> None:
    """Whoever is on the machine can reach it past HAProxy."""
    asked = 0
    for pid in processes.belonging_to(server.state.run_dir):
        title = Path(f"/proc/{pid}/cmdline").read_bytes()
        if not title.startswith(b"ray::ServeReplica"):
            continue
        path = "/v2" if b"Front" in title else f"/v2/models/{'fraud' if b'fraud' in title else 'vision'}"
        answers = {}
        for each in sockets.listening([pid]):
            for key in (None, server.key):
                connection = http.client.HTTPConnection("127.0.0.1", each.port, timeout=5)
                try:
                    answers[key] = exchange(connection, "GET", path, key, None)[0]
                except (http.client.HTTPException, OSError):
                    break  # a port for something else than HTTP
        assert answers == {None: 401, server.key: 200}, title
        asked += 1
    assert asked == 3


def test_rays_control_store_answers_nobody_without_its_token(server: Secured) -> None:
    """Whoever could write there could run code in every process of the server."""
    pids = processes.belonging_to(server.state.run_dir)
    titles = [Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace") for pid in pids]
    (address,) = {found[1] for title in titles if (found := re.search(r"--gcs-address=(127\.0\.0\.1:\d+)", title))}
    code = "import sys; from ray._raylet import GcsClient; print(GcsClient(sys.argv[1]).internal_kv_keys(b'', None))"

    def reads_it(**environment: str) -> bool:
        call = [sys.executable, "-c", code, address]
        clean = {key: value for key, value in os.environ.items() if not key.startswith("RAY_AUTH")}
        done = subprocess.run(call, env=clean | environment, capture_output=True, timeout=60, check=False)
        return done.returncode == 0

    assert reads_it(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=str(server.state.run_dir / "token"))
    assert not reads_it(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="0" * 64)
    assert not reads_it()


def test_plain_http_is_refused_and_so_is_an_unknown_certificate(server: Secured) -> None:
    plain = http.client.HTTPConnection("127.0.0.1", server.state.port, timeout=5)
    with pytest.raises((http.client.HTTPException, OSError)):
        exchange(plain, "GET", "/v2/health/live", None, None)
    stranger = http.client.HTTPSConnection("127.0.0.1", server.state.port, timeout=5)
    with pytest.raises(ssl.SSLCertVerificationError):
        exchange(stranger, "GET", "/v2/health/live", None, None)


def test_keys_rotate_without_restart(server: Secured) -> None:
    def settles(key: str, status: int) -> bool:
        """Every process of the server looks at the file within a second."""
        deadline = time.monotonic() + 5
        paths = ("/v2", "/v2/models/fraud", "/v2/models/vision")
        while time.monotonic() < deadline:
            if {ask(server, "GET", path, key)[0] for path in paths} == {status}:
                return True
            time.sleep(0.2)
        return False

    new = keyfile.add(server.keys_file, "bob")
    assert settles(new, 200)
    server.keys_file.chmod(0o666)  # others could have written it: the last good keys stay
    time.sleep(1.2)
    assert settles(new, 200)
    server.keys_file.chmod(0o600)
    keyfile.remove(server.keys_file, "bob")
    assert settles(new, 401)
    assert ask(server, "GET", "/v2", server.key)[0] == 200
    assert server.state.supervisor_runs


def test_no_key_and_no_private_key_is_written_or_shown(server: Secured) -> None:
    private = (server.cert.parent / "key.pem").read_bytes().splitlines()[1]
    for folder in (server.home, server.state.run_dir):
        for file in (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()):
            content = file.read_bytes()
            assert server.key.encode() not in content, file
            assert private not in content or file == server.state.run_dir / "ha" / "tls.pem", file
    assert (server.state.run_dir / "ha" / "tls.pem").stat().st_mode & 0o077 == 0
    for pid in [server.state.pid, *processes.belonging_to(server.state.run_dir)]:
        for part in ("cmdline", "environ"):
            assert server.key.encode() not in Path(f"/proc/{pid}/{part}").read_bytes()


def test_a_drill_shows_its_key_and_checks_the_certificate(
    server: Secured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = DrillPlan(
        model="fraud/1",
        slo=Slo(p50_ms=5000.0, p99_ms=5000.0, max_error_rate=0.0),
        load=Load(rate_rps=20, duration_s=2),
    )
    monkeypatch.setenv("SSL_CERT_FILE", str(server.cert))
    result = run_drill(
        plan,
        url=server.state.url,
        samples=server.home / "source" / "fraud" / "1",
        out=tmp_path / "r.json",
        api_key=server.key,
    )
    assert (result.errors, result.extra["checked_answers"]) == (0, result.requests)
    assert result.requests > 10
