"""Every failure of the issue pack, broken and mended, on this machine.

make bench-issues       (the fraud champion; writes .drillyard/reports/bench-issues.json)
"""

import argparse
import json
import os
import sys

from drillyard.core import provenance
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
        outcome = run(issue, settings, port=options.port, say=_say, on_progress=lambda _: None)
        found.append(outcome.model_dump(mode="json", exclude={"origin"}))
        _say(f"{issue.name}: {outcome.verdict}")
    path = settings.reports / "bench-issues.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**origin, "model": options.model, "issues": found}, indent=2) + "\n")
    sys.stdout.write(f"figures: {path}\n")


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


if __name__ == "__main__":
    main()
