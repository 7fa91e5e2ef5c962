"""What surrounds gRPC calls without a server: HAProxy's rules in HAProxy's own eyes, ports, and the server's probe."""

import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from drillyard.core.errors import UsageError
from drillyard.core.ports import free_port
from serving.environment import haproxy_binary, server_environment
from serving.grpc import open_inference_pb2 as pb
from serving.grpc.probe import says_ready
from serving.grpc.routing import haproxy_edits
from serving.recipes import FRONT, laptop
from tests.support import haproxy_config

LONG = "m" * 200  # its length takes two bytes in a message


def rendered(names: tuple[str, ...], grpc_port: int) -> str:
    """The configuration that the installed Ray writes for these applications."""
    from ray.serve._private.common import RequestProtocol
    from ray.serve._private.haproxy import BackendConfig, HAProxyConfig, ServerConfig
    from ray.serve.config import gRPCOptions

    options = gRPCOptions(port=grpc_port, grpc_servicer_functions=["serving.grpc.service.add_to_server"])
    config = HAProxyConfig(metrics_enabled=False, grpc_options=options)
    config.http_options.host = "127.0.0.1"
    backends = [
        BackendConfig(
            name=f"grpc-{name}",
            path_prefix="/",
            app_name=name,
            protocol=RequestProtocol.GRPC,
            servers=[ServerConfig(name="r", host="127.0.0.1", port=1)],
        )
        for name in names
    ]
    return haproxy_config.rendered(config, grpc_backends=backends)


@pytest.mark.parametrize("names", [("fraud", LONG, FRONT), ("fraud",), ()])
def test_the_edits_find_their_lines_and_haproxy_accepts_the_result(tmp_path: Path, names: tuple[str, ...]) -> None:
    config_file = tmp_path / "haproxy.cfg"
    config_file.write_text(rendered(names, 8001))
    config = laptop("fraud", LONG)
    wrapper = server_environment(config, tmp_path, {}, haproxy_binary())["RAY_SERVE_HAPROXY_BINARY_PATH"]
    for _ in range(2):  # also on a file that was corrected before
        checked = subprocess.run([wrapper, "-c", "-f", str(config_file)], capture_output=True, text=True, timeout=20)
        assert checked.returncode == 0, checked.stderr
    corrected = config_file.read_text()
    assert "unless { path_beg /inference.GRPCInferenceService/ }" in corrected
    assert 'grpc-status 5 hdr grpc-message "Application metadata' not in corrected
    for name in names:
        assert f"use_backend grpc-{name} if !{{ req.hdr(application) -m found }}" in corrected


def test_a_model_is_told_by_what_every_request_about_it_begins_with() -> None:
    """Whatever follows the name, and however long the message is."""
    rules = {name: edit for name in ("fraud", LONG) for edit in haproxy_edits((name,), FRONT) if f"str {name}$" in edit}
    for name, rule in rules.items():
        prefix = bytes.fromhex(rule.partition("-m bin ")[2].partition(" ")[0])
        assert f"bytes(5,{len(prefix)})" in rule
        infer = pb.ModelInferRequest(model_name=name, model_version="1", id="q", raw_input_contents=[bytes(99_999)])
        for message in (infer, pb.ModelReadyRequest(name=name, version="1"), pb.ModelMetadataRequest(name=name)):
            assert message.SerializeToString().startswith(prefix)
        other = pb.ModelInferRequest(model_name=f"{name}s").SerializeToString()
        assert not other.startswith(prefix), "the length stands before the name"


@pytest.mark.parametrize("port", [-1, 65536, 8000])
def test_a_wrong_port_is_refused(port: int) -> None:
    with pytest.raises(UsageError, match="grpc-port"):
        laptop("fraud", port=8000, grpc_port=port)


def test_ports_are_told_and_gRPC_can_be_off() -> None:  # noqa: N802 (the field's own name)
    assert laptop("fraud").grpc_address == "127.0.0.1:8001"
    assert laptop("fraud", host="::1").grpc_address == "[::1]:8001"
    assert laptop("fraud", grpc_port=0).grpc_address is None


class Servicer:
    """A server of grpcio's own, which says whether it is ready."""

    def __init__(self, ready: bool) -> None:
        self.ready = ready

    def ServerReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        assert request == pb.ServerReadyRequest()
        return pb.ServerReadyResponse(ready=self.ready)

    def __getattr__(self, name: str) -> Any:
        return lambda request, context: None


@contextmanager
def grpc_server(ready: bool) -> Iterator[str]:
    from concurrent.futures import ThreadPoolExecutor

    import grpc

    from serving.grpc.service import add_to_server

    server = grpc.server(ThreadPoolExecutor(max_workers=1))
    add_to_server(Servicer(ready), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None)


@pytest.mark.parametrize("ready", [True, False])
def test_the_probe_believes_grpcs_own_server(ready: bool) -> None:
    with grpc_server(ready) as address:
        assert says_ready(address, None) is ready


def test_the_probe_does_not_believe_others() -> None:
    assert not says_ready(f"127.0.0.1:{free_port()}", None)
    with socket.socket() as server:  # it speaks something else, and closes
        server.bind(("127.0.0.1", 0))
        server.listen()
        thread = threading.Thread(target=_talk_http, args=(server,))
        thread.start()
        assert not says_ready(f"127.0.0.1:{server.getsockname()[1]}", None)
        thread.join(5)


def _talk_http(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
