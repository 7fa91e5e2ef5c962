"""What of the test cluster can be seen without one."""

import json
from pathlib import Path
from threading import Event

import pytest

from drillyard.core.errors import UsageError
from loadtests.chaos import faults
from loadtests.nodes import training
from tests.loadtests.support.stand_ins import Server


@pytest.mark.parametrize("fault", ["kill-node", "cut-node", "kill-head"])
def test_a_nodes_fault_is_refused_without_a_cluster(server: Server, fault: str) -> None:
    strike = faults.get(fault).prepare(server.target)
    with (
        pytest.raises(UsageError, match="a server on a test cluster"),
        strike as inject,
        inject(server.target, Event()),
    ):
        pass


def test_epochs_are_counted_while_the_last_line_is_being_written(tmp_path: Path) -> None:
    assert training._epochs_done({tmp_path}) == 0
    lines = [{"epoch": 1, "validation_loss": None}, {"epoch": 1, "validation_loss": 0.5}, {"epoch": 2}]
    text = "\n".join(map(json.dumps, lines))
    (tmp_path / "records.jsonl").write_text(text[:-5])
    assert training._epochs_done({tmp_path}) == 1
