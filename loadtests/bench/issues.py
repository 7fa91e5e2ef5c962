"""Every failure of the issue pack, broken and mended, on this machine.

make bench-issues       (the fraud champion; writes .drillyard/reports/bench-issues.json)
"""

import argparse
import os
import sys

from drillyard.core import entry, provenance
from drillyard.core.benchmark import keep, say
from drillyard.core.settings import Settings
from loadtests.issue_pack import issues
from loadtests.issue_pack.run import run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="fraud", help="whose champion is asked")
    parser.add_argument("--port", type=int, default=8088)
    parser.add_argument("--issues", nargs="*", default=list(issues.ISSUES), help=", ".join(issues.ISSUES))
    options = parser.parse_args()
    chosen = [issues.get(name, options.model) for name in options.issues]
    settings = Settings.from_env(os.environ)
    origin = provenance.stamp()
    found = []
    for issue in chosen:
        outcome = run(issue, settings, port=options.port, say=say, on_progress=lambda _: None)
        found.append(outcome.model_dump(mode="json", exclude={"origin"}))
        say(f"{issue.name}: {outcome.verdict}")
    path = keep(settings, "bench-issues", {**origin, "model": options.model, "issues": found})
    sys.stdout.write(f"figures: {path}\n")


if __name__ == "__main__":
    entry.run(main)
