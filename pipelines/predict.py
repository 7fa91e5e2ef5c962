"""Batch prediction: Parquet in, scores of a registered model out, continued where a killed run stopped.

`plan` looks at everything that can be wrong before anything is scored and needs no Ray; `score` makes the parts that
are missing on Ray Data actors (see manifest.py for why none is lost or made twice).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from drillyard.core.contract import ModelCard, ModelRef
from drillyard.core.errors import SourceError, UsageError
from drillyard.core.settings import Settings
from pipelines import columns, fragments, manifest, registry
from pipelines.fragments import Footer
from pipelines.manifest import Manifest
from pipelines.scorer import Job
from pipelines.storage import Storage

Say = Callable[[str], None]
_STORE_BYTES = 16 * 2**20  # only lines about parts pass through the object store
_REMEDY = "The parts made so far stay; mend it and run the same command again."


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is scored, and what of it is left to do."""

    job: Job
    todo: tuple[int, ...]  # numbers of parts

    @property
    def rows_todo(self) -> int:
        return sum(self.job.manifest.fragments[number].rows for number in self.todo)


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What a run did."""

    rows: int
    parts: int
    scoring_s: float  # from the beginning of the first part to the end of the last; 0 when there was nothing to do

    @property
    def rows_per_s(self) -> float:
        return self.rows / self.scoring_s if self.scoring_s else 0.0


_NOTHING = Scored(rows=0, parts=0, scoring_s=0.0)


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked for."""

    model: ModelRef
    source: str  # location of the input
    output: str  # location of the scores
    outputs: tuple[str, ...] = ()  # of the model; empty: all
    keep: tuple[str, ...] = ()  # columns of the input to have beside them


def plan(request: Request, settings: Settings, say: Say = lambda _: None) -> Plan:
    """Raises UsageError, SourceError, ModelNotFound, ServiceUnreachable and ArtifactRefused; writes the manifest."""
    at, to = Storage.open("input", request.source), Storage.open("output", request.output)
    if f"{to.root}/".startswith(f"{at.root}/"):
        raise UsageError("output", request.output, "a location outside the input, of which scores would become a part")
    card, graph = registry.read(request.model, settings)
    found = fragments.footers(at)
    say(f"{sum(footer.rows for footer in found):,} rows in {len(found)} files of {at.location}")
    wanted = Manifest(
        model=f"{card.name}/{card.version}",
        onnx_sha256=card.onnx_sha256,
        input=at.location,
        outputs=_outputs(card, request.outputs),
        keep=tuple(dict.fromkeys(request.keep)),
        files=tuple(footer.file for footer in found),
        fragments=fragments.cut_files(found),
    )
    if not wanted.fragments:
        raise UsageError("input", request.source, "files that hold rows")
    inputs = _bind(card, found, at, wanted)
    in_force, todo = manifest.claim(to, wanted)
    if done := len(in_force.fragments) - len(todo):
        say(f"{done} of {len(in_force.fragments)} parts are there already")
    job = Job(source=at, output=to, manifest=in_force, inputs=inputs, graph=graph)
    return Plan(job=job, todo=tuple(todo))


def score(planned: Plan, *, workers: int, on_progress: Callable[[Scored], None] = lambda _: None) -> Scored:
    """Make the missing parts on `workers` actors of one thread. Ray must be initialised.

    Raises SourceError naming the file that cannot be scored, or the place that cannot be written.
    """
    scored = _make_parts(planned, workers, on_progress) if planned.todo else _NOTHING
    manifest.succeed(planned.job.output)
    return scored


def _make_parts(planned: Plan, workers: int, on_progress: Callable[[Scored], None]) -> Scored:
    from ray.data import ActorPoolStrategy

    from pipelines import raydata
    from pipelines.scorer import Scorer

    parts = raydata.work([{"part": number} for number in planned.todo], store_bytes=_STORE_BYTES)
    lines = parts.map_batches(
        Scorer,
        batch_size=1,
        fn_constructor_kwargs={"job": planned.job},
        compute=ActorPoolStrategy(size=min(workers, len(planned.todo))),
        num_cpus=1,
    )
    scored, begun, ended = _NOTHING, math.inf, 0.0
    for line in lines.iter_rows():
        if line["reason"]:
            raise SourceError(line["file"], line["reason"], _REMEDY)
        begun, ended = min(begun, float(line["begun"])), max(ended, float(line["ended"]))
        scored = Scored(rows=scored.rows + int(line["rows"]), parts=scored.parts + 1, scoring_s=ended - begun)
        on_progress(scored)
    return scored


def _outputs(card: ModelCard, wanted: Sequence[str]) -> tuple[str, ...]:
    names = tuple(spec.name for spec in card.outputs)
    if unknown := [name for name in wanted if name not in names]:
        raise UsageError("outputs", unknown[0], f"an output of {card.name}: {', '.join(names)}")
    return tuple(name for name in names if name in wanted) or names


def _bind(card: ModelCard, found: Sequence[Footer], source: Storage, wanted: Manifest) -> tuple[columns.Binding, ...]:
    """Where the model's inputs are, and are in every file. Raises UsageError."""
    if taken := [name for name in wanted.keep if name in wanted.outputs]:
        raise UsageError("keep", taken[0], f"a column with another name than the scores: {', '.join(wanted.outputs)}")
    bound: set[tuple[columns.Binding, ...]] = set()
    for footer in found:
        where = source.shown(footer.file.name)
        bound.add(tuple(columns.bind(spec, card.labels, footer.schema, where) for spec in card.inputs))
        if missing := [name for name in wanted.keep if name not in footer.schema.names]:
            raise UsageError("keep", missing[0], f"a column of {where}: {', '.join(footer.schema.names)}")
    if len(bound) > 1:
        raise UsageError("input", source.location, "files with the same columns; these hold the inputs in several ways")
    return bound.pop()
