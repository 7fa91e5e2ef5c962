"""Which commit a result says it is of."""

from pathlib import Path

import pytest

from drillyard.core import provenance


def test_an_image_says_what_it_was_made_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "_OF_IMAGE", tmp_path / "COMMIT")
    of_checkout = provenance.commit()
    (tmp_path / "COMMIT").write_text("0123456789ab\n")
    assert provenance.commit() == "0123456789ab" != of_checkout
