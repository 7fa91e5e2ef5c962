"""A real server with known injected delays:

    python -m loadtests.selftest.server --delay-ms 5 --slow-every 50 --slow-ms 50

It answers the Open Inference Protocol v2 for any model, computing `model.answer` of each row, prints its port as its
first line, and tells at /stats how long it really held each answer back (a busy machine adds to what was asked for).
"""

import argparse
import asyncio
import socket
import sys
import time
from typing import Any

import orjson
import uvicorn

from loadtests.generator.realtime import run_in_real_time
from loadtests.selftest.model import answers

JSON_HEADERS = [(b"content-type", b"application/json")]


class DelayServer:
    """An ASGI application that does to its answers what it was told to."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.requests = 0
        self.held_ms: list[float] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return None
        if scope["method"] == "GET":
            body = {"ready": True} if scope["path"] != "/stats" else {"held_ms": self.held_ms}
            return await self.reply(send, 200, body)
        arrived = time.perf_counter()
        message = await receive()
        body = message["body"]
        while message.get("more_body"):
            message = await receive()
            body += message["body"]
        self.requests += 1
        args, number = self.args, self.requests
        if number == args.freeze_at:
            time.sleep(args.freeze_s)  # the whole process stands still, as a replica in a long collection would
        if args.fail_every and number % args.fail_every == 0:
            return await self.reply(send, 503, {"error": "overloaded"})
        tensor = orjson.loads(body)["inputs"][0]
        outputs = answers(tensor["data"], tensor["shape"][0])
        if args.wrong_every and number % args.wrong_every == 0:
            outputs["score"][0] += 1
        delay_ms = args.slow_ms if args.slow_every and number % args.slow_every == 0 else args.delay_ms
        if delay_ms:
            await asyncio.sleep(delay_ms / 1000)
        if args.keep_times:
            self.held_ms.append((time.perf_counter() - arrived) * 1000)
        return await self.reply(
            send, 200, {"outputs": [{"name": name, "data": data} for name, data in outputs.items()]}
        )

    @staticmethod
    async def reply(send: Any, status: int, body: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": JSON_HEADERS})
        await send({"type": "http.response.body", "body": orjson.dumps(body)})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--delay-ms", type=float, default=0.0)
    parser.add_argument("--slow-every", type=int, default=0)
    parser.add_argument("--slow-ms", type=float, default=0.0)
    parser.add_argument("--freeze-at", type=int, default=0, help="number of the request that freezes the process")
    parser.add_argument("--freeze-s", type=float, default=1.0)
    parser.add_argument("--fail-every", type=int, default=0)
    parser.add_argument("--wrong-every", type=int, default=0)
    parser.add_argument("--keep-times", action="store_true")
    parser.add_argument("--real-time", action="store_true", help="real-time scheduling, where it is granted")
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", 0))
    listener.listen(2048)  # before the port is told, so that nobody is refused
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()  # the parent reads the port
    args = parser.parse_args()
    if args.real_time:
        run_in_real_time()
    config = uvicorn.Config(DelayServer(args), log_level="warning", access_log=False, lifespan="off")
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
