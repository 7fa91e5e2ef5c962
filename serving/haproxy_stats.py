"""What HAProxy counts itself: it refuses and retries requests that no replica ever hears of.

Read from its admin socket when /metrics is asked (`show stat`; columns in section 9.1 of its management guide,
https://docs.haproxy.org/2.8/management.html#9.1). When Serve renews its configuration, a new HAProxy takes over and
counts from zero, as a restarted process does.
"""

import csv
import io
import socket
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family

from serving.catalogue import PROXY_FAILED, PROXY_QUEUED, PROXY_RESPONSES, PROXY_RETRIES, PROXY_UNSERVED

TIMEOUT_S = 0.5
FRONTENDS = ("http_frontend", "grpc_frontend")  # clients'; the others are for statistics
CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx", "other")

Row = Mapping[str, str]


def families(admin_socket: Path) -> list[Family]:
    """The metrics of the HAProxy behind this socket; none when it does not answer, as while it is being replaced."""
    try:
        return list(_families(_rows(admin_socket)))
    except OSError:
        return []


def _rows(admin_socket: Path) -> list[Row]:
    chunks = []
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(TIMEOUT_S)
        connection.connect(str(admin_socket))
        connection.sendall(b"show stat\n")
        while chunk := connection.recv(65536):
            chunks.append(chunk)
    return list(csv.DictReader(io.StringIO(b"".join(chunks).decode().removeprefix("# "))))


def _families(rows: Iterable[Row]) -> Iterator[Family]:
    responses, retries, unserved, failed = (
        CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
        for metric in (PROXY_RESPONSES, PROXY_RETRIES, PROXY_UNSERVED, PROXY_FAILED)
    )
    queued = GaugeMetricFamily(PROXY_QUEUED.name, PROXY_QUEUED.help, labels=PROXY_QUEUED.labels)
    from_replicas: Counter[str] = Counter()  # 5xx by backend; their lines stand before the backend's
    for row in rows:
        name, part = row["pxname"], row["svname"]
        if part == "FRONTEND" and name in FRONTENDS:
            for each in CLASSES:
                responses.add_metric([name, each], float(row[f"hrsp_{each}"] or 0))
        elif part == "BACKEND" and row["mode"] == "http":
            retries.add_metric([name], float(row["wretr"] or 0))
            unserved.add_metric([name], float(row["econ"] or 0))
            failed.add_metric([name], _fives(row) - from_replicas[name])
            queued.add_metric([name], float(row["qcur"] or 0))
        elif part != "FRONTEND":
            from_replicas[name] += _fives(row)
    yield from (responses, retries, unserved, failed, queued)


def _fives(row: Row) -> int:
    return int(row["hrsp_5xx"] or 0)
