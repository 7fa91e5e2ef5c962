"""The leanest HTTP/1.1 client that is still correct: keep-alive connections and ready-made request bytes.

geventhttpclient's C parser reads the answers. Its own client and Locust's FastHttpUser rebuild and validate headers for
each request, which costs the generator more than half of its reachable rate.
"""

import socket
import ssl
from typing import Any
from urllib.parse import urlsplit

import gevent
import gevent.socket
from geventhttpclient.response import HTTPParseError, HTTPSocketResponse

from drillyard.core.errors import UsageError

NETWORK_ERRORS = (OSError, HTTPParseError)  # what `Client.post` raises when there is no answer
_BLOCK_BYTES = 16384


class Client:
    """Requests to one host over as many kept-alive connections as are in use at once; the caller bounds those."""

    def __init__(self, url: str, api_key: str | None = None) -> None:
        """`url`: scheme, host and port, such as http://127.0.0.1:8000. Raises UsageError."""
        parts = urlsplit(url)
        try:
            port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        except (KeyError, ValueError) as exc:
            raise UsageError("url", url, "http://HOST:PORT") from exc
        self._address = (parts.hostname or "", port)
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._host_header, self._prefix = parts.netloc.rpartition("@")[2], parts.path.rstrip("/")
        self._key_header = f"Authorization: Bearer {api_key}\r\n" if api_key else ""
        self._peer: tuple[Any, Any] | None = None  # address family and socket address
        self._idle: list[Any] = []  # last in, first out: few connections stay warm, the others may time out

    def encode(self, path: str, body: bytes) -> bytes:
        """The whole request as bytes, to be made once and posted often."""
        head = (
            f"POST {self._prefix}{path} HTTP/1.1\r\nHost: {self._host_header}\r\nUser-Agent: drillyard\r\n"
            f"Accept: application/json\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            f"{self._key_header}\r\n"
        )
        return head.encode("ascii") + body

    def post(self, request: bytes, timeout_s: float) -> tuple[int, bytes]:
        """Send; status code and body. Raises gevent.Timeout or one of NETWORK_ERRORS; never sends twice."""
        sock = None
        try:
            with gevent.Timeout(timeout_s):
                sock = self._idle_connection() or self._connect()
                sock.sendall(request)
                response = HTTPSocketResponse(sock, block_size=_BLOCK_BYTES, method="POST")
                body = bytes(response.read())
        except BaseException:  # a connection with half an answer in it must not be used again
            if sock is not None:
                sock.close()
            raise
        if response.should_close():
            sock.close()
        else:
            self._idle.append(sock)
        return response.status_code, body

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def _idle_connection(self) -> Any:
        """An idle connection that the server has not closed, or None."""
        while self._idle:
            sock = self._idle.pop()
            if self._tls is not None or _nothing_to_read(sock):  # a TLS socket cannot be peeked at
                return sock
            sock.close()
        return None

    def _connect(self) -> Any:
        if self._peer is None:  # resolve the name once: gevent does so in threads, at a cost for each connection
            sock = gevent.socket.create_connection(self._address)
            self._peer = (sock.family, sock.getpeername())
        else:
            sock = gevent.socket.socket(self._peer[0], socket.SOCK_STREAM)
            try:
                sock.connect(self._peer[1])
            except BaseException:
                sock.close()
                raise
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._tls.wrap_socket(sock, server_hostname=self._address[0]) if self._tls else sock


def _nothing_to_read(sock: Any) -> bool:
    """An idle connection must be silent; an end of stream or a stray byte means that it cannot be used again."""
    sock.settimeout(0.0)
    try:
        sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        sock.settimeout(None)
        return True
    except OSError:
        pass
    return False
