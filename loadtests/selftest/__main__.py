"""The load generator and its recorder against known faults:

    make drill-selftest        (about two minutes; writes .drillyard/reports/drill-selftest.json)

Exit code 1 when a bar is missed. On a busy machine the generator is late, and says so; run it when nothing else runs.
"""

import os
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from drillyard.core import entry, provenance
from drillyard.core.benchmark import keep
from drillyard.core.errors import ExitCode
from drillyard.core.settings import Settings
from loadtests.selftest import checks, model


def main() -> None:
    done = []
    with tempfile.TemporaryDirectory(prefix="drillyard-") as scratch:
        for check in checks.everything(model.write(Path(scratch))):
            done.append(check)
            sys.stdout.write(f"{'ok  ' if check.held else 'MISS'}  {check.name}: {check.measured} (bar: {check.bar})\n")
            sys.stdout.flush()
    content = {**provenance.stamp(), "checks": [asdict(check) for check in done]}
    path = keep(Settings.from_env(os.environ), "drill-selftest", content)
    sys.stdout.write(f"figures: {path}\n")
    if not all(check.held for check in done):
        raise SystemExit(int(ExitCode.FAIL))


if __name__ == "__main__":
    entry.run(main)
