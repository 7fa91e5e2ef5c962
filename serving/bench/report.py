"""The tables that people read, made from the content of a report."""

from collections.abc import Iterable
from statistics import median
from typing import Any

from serving.bench.bars import Judged, Ratio, Which, judge, ratio
from serving.bench.parts import ONE_ROW, SATURATING
from serving.bench.rounds import Cell

Table = tuple[str, list[str], list[list[str]]]  # title, head, lines


def tables(content: dict[str, Any]) -> list[Table]:
    """Those that have any line."""
    found = [closed_loop(content), bars(content), open_loop(content), images(content), proxies(content)]
    return [table for table in found if table[2]]


def closed_loop(content: dict[str, Any]) -> Table:
    """One row a request: requests/s and p99 at each number of connections, and the CPU time of a request."""
    cells = _cells(content, "rows", ONE_ROW)
    connections = sorted({cell.connections for cell in cells})
    head = ["server", *(f"{count} connections" for count in connections), f"CPU a request at {SATURATING}", "set up as"]
    lines = []
    for name, setup in content["setups"].items():
        own = [cell for cell in cells if cell.contender == name]
        speeds = [_speed([cell for cell in own if cell.connections == count]) for count in connections]
        if name in content["refused"]:
            lines.append([name, *(["not measured"] * len(connections)), "", content["refused"][name].splitlines()[0]])
        elif own:
            cpu_us = [cell.cpu_us_per_request for cell in own if cell.connections == SATURATING]
            lines.append([name, *speeds, f"{median(cpu_us):,.0f} us" if cpu_us else "", setup])
    return "One row a request, JSON: requests/s (p99), medians of the rounds", head, lines


def bars(content: dict[str, Any]) -> Table:
    """Each bar of the project with the ratio that was measured."""
    head = ["comparison", "ratio of rows/s", "lowest to highest round", "bar", "ratio of p99", "verdict"]
    cells = [Cell(**each) for each in content["cells"]]
    lines = [_verdict(judged) for judged in judge(cells, content["refused"])]
    return f"Ratios at {SATURATING} connections", head, lines


def open_loop(content: dict[str, Any]) -> Table:
    """Latency from the intended send time."""
    lines = [
        [
            each["contender"],
            f"{each['rate_rps']:g}",
            f"{each['p50_ms']:.1f} ms",
            f"{each['p99_ms']:.1f} ms",
            str(sum(each["errors"].values())),
            "yes" if each["valid"] else "no: the drill was INVALID",
        ]
        for each in content["open_loop"]
    ]
    head = ["server", "offered requests/s", "p50", "p99", "errors", "valid"]
    return "Poisson arrivals, one row a request (open loop)", head, lines


def images(content: dict[str, Any]) -> Table:
    """Small images at saturation beside onnxruntime without a server."""
    lines = []
    for name, workload in _pairs(content, "images"):
        own = [cell for cell in _cells(content, "images", workload) if cell.contender == name]
        speed = median(cell.rows_per_s for cell in own)
        lines.append([name, workload, f"{speed:,.0f}", _failed(own) or f"{median(cell.p99_ms for cell in own):.1f} ms"])
    return "Images of 32 by 32 at saturation", ["contender", "request", "images/s", "p99 of a request"], lines


def proxies(content: dict[str, Any]) -> Table:
    """Large bodies through HAProxy and through Serve's Python proxy."""
    cells = [Cell(**each) for each in content["cells"]]
    lines = []
    for name, workload in _pairs(content, "proxies"):
        if name != "python-proxy":
            for count in sorted({cell.connections for cell in _cells(content, "proxies", workload)}):
                ours = Which(part="proxies", contender=name, workload=workload, connections=count)
                other = Which(part="proxies", contender="python-proxy", workload=workload, connections=count)
                sides = [list(which.by_round(cells).values()) for which in (ours, other)]
                found = ratio(cells, ours, other, "requests_per_s")
                lines.append([workload, str(count), *map(_speed, sides), _ratio(found)])
    head = ["body", "connections", "HAProxy: requests/s (p99)", "Python proxy", "ratio (lowest to highest round)"]
    return "Large bodies through two proxies, one replica", head, lines


def _cells(content: dict[str, Any], part: str, workload: str) -> list[Cell]:
    return [Cell(**each) for each in content["cells"] if (each["part"], each["workload"]) == (part, workload)]


def _pairs(content: dict[str, Any], part: str) -> Iterable[tuple[str, str]]:
    """Contender and workload, in the order of measurement, each once."""
    own = [each for each in content["cells"] if each["part"] == part]
    return dict.fromkeys((each["contender"], each["workload"]) for each in own)


def _speed(cells: list[Cell]) -> str:
    if not cells:
        return "not measured"
    speed = f"{median(cell.requests_per_s for cell in cells):,.0f}"
    return _failed(cells) or f"{speed} ({median(cell.p99_ms for cell in cells):.1f} ms)"


def _failed(cells: list[Cell]) -> str:
    errors = [f"{count} {kind}" for cell in cells for kind, count in cell.errors.items()]
    return f"FAILED: {', '.join(errors)}" if errors else ""


def _verdict(judged: Judged) -> list[str]:
    over, under = judged.bar.over, judged.bar.under
    name = f"{over.contender}, {over.workload}, over {under.contender}" + (
        f", {under.workload}" if under.workload != over.workload else ""
    )
    found, p99 = judged.rows_per_s, judged.p99
    if found is None or p99 is None:
        return [name, "not measured", "", f"{judged.bar.least:g}", "", "MISSED"]
    bound = "below 1" if judged.bar.lower_p99 else "none"
    return [
        name,
        f"{found.median:.2f}",
        f"{found.low:.2f} to {found.high:.2f}, {found.rounds} rounds",
        f"{judged.bar.least:g}",
        f"{p99.median:.2f} (bar: {bound})",
        "PASS" if judged.passed else "MISSED",
    ]


def _ratio(found: Ratio | None) -> str:
    return "not measured" if found is None else f"{found.median:.2f} ({found.low:.2f} to {found.high:.2f})"
