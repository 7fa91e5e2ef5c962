"""A training run on local disk: the truth from which it is tracked, and re-tracked when a store was unreachable.

recipe.json  records.jsonl  evaluation.json  plots/*.png  model/{model.onnx, card.json, samples.npz}
"""

import dataclasses
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from drillyard.core.contract import CARD_FILE, MODEL_FILE, SAMPLES_FILE, ModelCard
from drillyard.core.errors import UsageError
from pipelines.loop import Record
from pipelines.system import Evaluation, Recipe


@dataclass(frozen=True)
class RunFolder:
    """Paths and contents of one run."""

    path: Path

    @classmethod
    def create(cls, runs: Path, recipe: Recipe) -> "RunFolder":
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
        folder = cls(runs / f"{recipe.system}-{recipe.name}-{stamp}")
        folder.model.mkdir(parents=True)
        folder.plots.mkdir()
        folder._write("recipe.json", dataclasses.asdict(recipe))
        return folder

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """A finished run. Raises UsageError."""
        if not (path / "model" / CARD_FILE).is_file():
            raise UsageError("run", str(path), f"a run's folder that holds model/{CARD_FILE}")
        return cls(path.resolve())

    @property
    def model(self) -> Path:
        return self.path / "model"

    @property
    def onnx(self) -> Path:
        return self.model / MODEL_FILE

    @property
    def samples(self) -> Path:
        return self.model / SAMPLES_FILE

    @property
    def plots(self) -> Path:
        return self.path / "plots"

    @property
    def recipe(self) -> dict[str, Any]:
        return json.loads((self.path / "recipe.json").read_text())

    @property
    def card(self) -> ModelCard:
        return ModelCard.model_validate_json((self.model / CARD_FILE).read_text())

    def write_card(self, card: ModelCard) -> None:
        (self.model / CARD_FILE).write_text(card.model_dump_json(indent=2) + "\n")

    def append(self, record: Record) -> None:
        with (self.path / "records.jsonl").open("a") as lines:
            lines.write(json.dumps(dataclasses.asdict(record)) + "\n")

    def records(self) -> list[Record]:
        path = self.path / "records.jsonl"
        return [Record(**json.loads(line)) for line in path.read_text().splitlines()] if path.is_file() else []

    def write_evaluation(self, evaluation: Evaluation) -> None:
        self._write("evaluation.json", {"metrics": evaluation.metrics, "baselines": evaluation.baselines})

    def _write(self, name: str, content: dict[str, Any]) -> None:
        (self.path / name).write_text(json.dumps(content, indent=2, default=str) + "\n")
