import subprocess
import sys

import pytest

PLAIN = [
    "launch", "generator.arrivals", "generator.payloads", "generator.progress", "generator.recorder", "chaos.faults",
    "chaos.strikes", "catalogue.drills", "issue_pack.issues", "judge.hypothesis", "judge.verdict", "report.page",
    "report.scorecard",
]  # fmt: skip


@pytest.mark.parametrize("module", PLAIN)
def test_what_others_import_never_brings_in_locust(module):
    code = f"import sys, loadtests.{module}; sys.exit(any(m in sys.modules for m in ('locust', 'gevent')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
