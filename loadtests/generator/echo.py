"""A server that gives the same answer to every request, for measuring what a generator can do:

python -m loadtests.generator.echo ANSWER.json      (prints its port as its first line, ends with its standard input)
"""

import asyncio
import sys
from pathlib import Path

_END_OF_HEAD, _LENGTH = b"\r\n\r\n", b"content-length:"


class Echo(asyncio.Protocol):
    """HTTP/1.1 with keep-alive; a body is as long as its Content-Length says."""

    def __init__(self, answer: bytes) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(answer)}\r\n\r\n"
        self._answer = head.encode("ascii") + answer
        self._buffer = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._buffer += data
        while size := _request_bytes(self._buffer):
            self._buffer = self._buffer[size:]
            self._transport.write(self._answer)


def _request_bytes(buffer: bytes) -> int:
    """Length of the first whole request in the buffer; 0 while it is not whole."""
    head_bytes = buffer.find(_END_OF_HEAD)
    if head_bytes < 0:
        return 0
    head = buffer[:head_bytes].lower()
    start = head.find(_LENGTH)
    body_bytes = 0 if start < 0 else int(head[start + len(_LENGTH) :].split(b"\r\n", 1)[0])
    whole = head_bytes + len(_END_OF_HEAD) + body_bytes
    return whole if len(buffer) >= whole else 0


async def serve(answer: bytes) -> None:
    """Until standard input ends, so that no server outlives who started it."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Echo(answer), "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    ended = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), ended.set)  # at its end it is readable; nothing else comes
    await ended.wait()
    server.close()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]).read_bytes()))
