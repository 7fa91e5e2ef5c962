"""Ask a server's ServerReady as a client does, in the few HTTP/2 frames that takes.

gRPC's own library insists on a certificate's name; who asks by loopback knows the certificate, not its name.
RFC 9113 section 4.1 (frames), RFC 7541 section 6.2.2 (header fields), gRPC over HTTP/2 (length-prefixed messages).
"""

import socket
import ssl

from serving.grpc import open_inference_pb2 as pb

_TIMEOUT_S = 5.0
_DATA, _HEADERS, _SETTINGS = 0, 1, 4
_END_STREAM, _END_HEADERS = 1, 4
_FRAME_HEAD_BYTES = 9


def says_ready(address: str, context: ssl.SSLContext | None) -> bool:
    """Whether the server at `host:port` answers, and answers ready; in TLS when there is a context."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_TIMEOUT_S) as plain:
            if context is None:
                return _ask(plain)
            with context.wrap_socket(plain, server_hostname=host.strip("[]")) as wrapped:
                return _ask(wrapped)
    except OSError:
        return False


def _ask(connection: socket.socket) -> bool:
    service = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": f"/{service}/ServerReady",
        ":authority": "localhost",
        "te": "trailers",
        "content-type": "application/grpc",
    }
    connection.sendall(
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        + _frame(_SETTINGS, 0, 0, b"")
        + _frame(_HEADERS, _END_HEADERS, 1, b"".join(map(_field, fields, fields.values())))
        + _frame(_DATA, _END_STREAM, 1, _message(pb.ServerReadyRequest().SerializeToString()))
    )
    received = b""
    while not _complete(received):
        chunk = connection.recv(4096)
        if not chunk:
            return False
        received += chunk
    return _message(pb.ServerReadyResponse(ready=True).SerializeToString()) in received


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def _field(name: str, value: str) -> bytes:
    """A literal field without indexing; both lengths are below 127."""
    return b"\0" + b"".join(bytes((len(text),)) + text.encode() for text in (name, value))


def _message(payload: bytes) -> bytes:
    """Not compressed, and its length before it."""
    return b"\0" + len(payload).to_bytes(4, "big") + payload


def _complete(received: bytes) -> bool:
    """Whether the frames so far hold the end of the answer."""
    position = 0
    while position + _FRAME_HEAD_BYTES <= len(received):
        kind, flags = received[position + 3], received[position + 4]
        if kind in (_DATA, _HEADERS) and flags & _END_STREAM:
            return True
        position += _FRAME_HEAD_BYTES + int.from_bytes(received[position : position + 3], "big")
    return False
