"""This project's server against others: one machine, one model, one load generator, alternating rounds.

make bench-serve        (about 12 minutes; writes .drillyard/reports/bench-serve.json and bench-serve.svg, or
                         bench-proxies.json when only the part proxies is measured)
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from drillyard.core import entry, provenance
from drillyard.core.benchmark import keep, say
from drillyard.core.contract import ModelRef
from drillyard.core.errors import UsageError
from drillyard.core.settings import Settings
from serving import lifecycle
from serving.artifact import fetch
from serving.bench import bars, environments, parts, plot, report, rounds, wrk
from serving.bench.servers import Ground, Server, all_servers

PARTS = ("rows", "images", "proxies")


def main() -> None:
    """Prepare, measure, judge, report; a missed bar is a finding, not a failure."""
    options = _options()
    settings = Settings.from_env(os.environ)
    content = compare(options, settings)
    path = keep(settings, "bench-proxies" if options.parts == ("proxies",) else "bench-serve", content)
    plot.draw(content, path.with_suffix(".svg"))
    for title, head, lines in report.tables(content):
        _show(title, head, lines)
    sys.stdout.write(f"figures: {path}\n")


def compare(options: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """The content of the report. Raises DrillyardError."""
    origin, started = provenance.stamp(), time.monotonic()  # now: the files may change while this runs
    wrk.check_installed()
    servers = [_server(name) for name in options.servers] if "rows" in options.parts else []
    for server in servers:
        if environments.requirements(server.name).exists():
            environments.prepare(server.name, settings.cache, say)
    rows, images = _ground(options.model, settings), _ground(options.image_model, settings)
    lifecycle.stop(rows.settings)  # what an earlier run that was killed hard may have left
    found = rounds.Measured(cells=[], open_loop=[], refused={})
    for part in options.parts:
        contenders = {
            "rows": lambda: parts.rows(rows, servers, tuple(options.connections), tuple(options.rates)),
            "images": lambda: parts.saturation(images),
            "proxies": lambda: parts.proxies(images),
        }[part]()
        count = options.rounds if part == "rows" else options.image_rounds
        one = rounds.run(contenders, rounds=count, seconds=options.seconds, say=say)
        found.cells.extend(one.cells)
        found.open_loop.extend(one.open_loop)
        found.refused.update(one.refused)
    return {
        **origin,
        "elapsed_s": time.monotonic() - started,
        "options": vars(options),
        "models": [str(rows.model.ref), str(images.model.ref)],
        "setups": {server.name: server.setup for server in servers},
        "refused": found.refused,
        "bars": [asdict(each) | {"passed": each.passed} for each in bars.judge(found.cells, found.refused)],
        "open_loop": [asdict(cell) for cell in found.open_loop],
        "cells": [asdict(cell) for cell in found.cells],
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="fraud", help="asked for one row a request, by every server")
    parser.add_argument("--image-model", default="vision", help="asked for images")
    parser.add_argument(
        "--parts", type=_names, default=PARTS[:2], help=f"some of {','.join(PARTS)}; default the first two"
    )
    parser.add_argument("--servers", type=_names, default=tuple(all_servers()), help="some of those; default all")
    parser.add_argument("--connections", type=_numbers, default=(1, 16, 64), help="of the closed loop, one row")
    parser.add_argument("--rates", type=_numbers, default=(200,), help="of the open loop, requests a second")
    parser.add_argument("--rounds", type=int, default=3, help="of the part rows")
    parser.add_argument("--image-rounds", type=int, default=2, help="of the parts images and proxies")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    options = parser.parse_args()
    unknown = [part for part in options.parts if part not in PARTS]
    if unknown:
        parser.error(f"--parts: {unknown[0]!r} is not valid; expected some of {','.join(PARTS)}")
    return options


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split(","))


def _server(name: str) -> Server:
    known = all_servers()
    if name not in known:
        raise UsageError("servers", name, f"some of {','.join(known)}")
    return known[name]


def _ground(model: str, settings: Settings) -> Ground:
    """The champion, and a home of the benchmark's own, so that it does not meet a server of this folder."""
    own = settings.model_copy(update={"home": settings.home / "bench", "ray_address": None})
    ref = ModelRef.parse(model)
    return Ground(model=fetch(ref, tracking_uri=own.tracking_uri, cache=own.models), settings=own, say=say)


def _show(title: str, head: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    widths = [max(len(line[i]) for line in [head, *lines]) for i in range(len(head))]
    sys.stdout.write(f"\n{title}\n")
    for line in [head, *lines]:
        sys.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n")
    sys.stdout.write("\n")


if __name__ == "__main__":
    entry.run(main)
