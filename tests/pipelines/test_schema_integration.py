"""MLflow's server waits for the migration of its database, and not for ever."""

from pathlib import Path

import pytest

from drillyard.core.errors import ServiceUnreachable
from pipelines.schema import wait_for_schema

pytestmark = pytest.mark.integration


def test_an_empty_database_is_waited_for_until_it_has_been_migrated(tmp_path: Path) -> None:
    from click.testing import CliRunner
    from mlflow.db import upgrade

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    with pytest.raises(ServiceUnreachable, match="out-of-date database schema"):
        wait_for_schema(uri, wait_s=0)
    result = CliRunner().invoke(upgrade, [uri])
    assert result.exit_code == 0, result.output
    wait_for_schema(uri, wait_s=0)


def test_a_database_that_does_not_answer_is_named_without_its_password() -> None:
    with pytest.raises(ServiceUnreachable) as raised:
        wait_for_schema("sqlite:////nowhere/at/all/mlflow.db", wait_s=0)
    assert "/nowhere/at/all" in str(raised.value)
