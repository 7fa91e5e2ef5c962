import subprocess
import sys

import pytest

PLAIN = [
    "arrivals", "bounds", "charts", "drills", "faults", "hypothesis", "launch", "payloads", "progress", "recorder",
    "report", "scorecard", "strikes", "verdict",
]  # fmt: skip


@pytest.mark.parametrize("module", PLAIN)
def test_what_others_import_never_brings_in_locust(module):
    code = f"import sys, loadtests.{module}; sys.exit(any(m in sys.modules for m in ('locust', 'gevent')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
