"""What Ray Serve opens, as our hook has it; in a process of its own, since the hook changes Serve for good."""

import subprocess
import sys

CODE = """
import asyncio
from serving.loopback import listen_on_loopback
if {hooked}:
    listen_on_loopback()
from ray.serve._private import default_impl, grpc_util

async def main():
    first, second = (grpc_util.gRPCGenericServer(None, extra_options=[("grpc.so_reuseport", "0")]) for _ in range(2))
    port = first.add_insecure_port("127.0.0.1:0")
    await first.start()
    try:
        default_impl.add_grpc_address(second, f"[::]:{{port}}" if {hooked} else f"127.0.0.1:{{port}}")
        print("shared")
    except RuntimeError:  # Serve then tries its next port
        print("refused")
    await first.stop(0)

asyncio.run(main())
"""


def outcome(*, hooked: bool) -> str:
    call = [sys.executable, "-c", CODE.format(hooked=hooked)]
    return subprocess.run(call, capture_output=True, text=True, timeout=60, check=True).stdout.strip()


def test_a_replicas_grpc_port_is_never_shared_with_another_server() -> None:
    assert outcome(hooked=True) == "refused"


def test_ray_still_needs_that() -> None:
    """When this fails, Ray has mended it, and the hook's part can go."""
    assert outcome(hooked=False) == "shared"
