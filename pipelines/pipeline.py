"""Recipe -> registered champion: load, train, calibrate, export, evaluate, register, gate."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pooch

from drillyard.core.contract import ModelCard, ModelRef
from drillyard.core.errors import GateRefused
from drillyard.core.provenance import commit
from drillyard.core.settings import Settings
from pipelines import export, quantize, registry, system, tracking, trainer
from pipelines.cluster import check_room
from pipelines.graph import predictor
from pipelines.loop import Record
from pipelines.runfolder import RunFolder
from pipelines.summary import summarise
from pipelines.system import Dataset, Evaluation, Predict, Recipe, TrainableModel

SAMPLE_ROWS = 1024


@dataclass(frozen=True, kw_only=True)
class Listener:
    """Where progress goes: whole sentences, and the training loop's records."""

    say: Callable[[str], None] = lambda _: None
    on_record: Callable[[Record], None] = lambda _: None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one training command brought about."""

    ref: ModelRef
    promoted: bool
    gate: str  # the gate's words when it refused
    card: ModelCard
    evaluation: Evaluation
    folder: Path
    train_s: float  # in the training loop
    total_s: float
    restarts: int
    device: str


def run(recipe: Recipe, settings: Settings, *, workers: int, listener: Listener) -> Outcome:
    """Train, prove, register and (when the gate lets it) promote. Ray must be initialised.

    Raises ServiceUnreachable before training when the store does not answer, and after it with the words to re-log the
    kept run; TrainingFailed, ParityError, SourceError.
    """
    started = time.monotonic()
    # All that can be wrong before training comes first: what fails here leaves no folder and no run behind.
    check_room(workers)
    tracking.connect(settings)
    listener.say(f"loading {recipe.dataset}")
    dataset = system.get(recipe.system).load(recipe.dataset, settings, listener.say)
    folder = RunFolder.create(settings.runs, recipe)
    live = tracking.LiveRun.start(folder, settings, listener.say)
    try:
        trained = _train(recipe, dataset, workers, folder, live, listener)
        evaluation = _prove(recipe, dataset, trained, folder, listener)
    except BaseException:  # Ctrl-C too
        live.fail()
        raise
    live.stop()

    listener.say("registering")
    ref = registry.publish(folder, settings, live.run_id)
    try:
        registry.promote(ref, settings, test=dataset.test, say=listener.say)
        refusal = ""
    except GateRefused as error:
        refusal = str(error)
    return Outcome(
        ref=ref,
        promoted=not refusal,
        gate=refusal,
        card=folder.card,
        evaluation=evaluation,
        folder=folder.path,
        train_s=trained.records[-1].elapsed_s if trained.records else 0.0,
        total_s=time.monotonic() - started,
        restarts=trained.restarts,
        device=trained.device,
    )


def _train(
    recipe: Recipe,
    dataset: Dataset,
    workers: int,
    folder: RunFolder,
    live: tracking.LiveRun,
    listener: Listener,
) -> trainer.Trained:
    def on_record(record: Record) -> None:
        folder.append(record)
        live.log(record)
        listener.on_record(record)

    listener.say(f"training {recipe.system}/{recipe.name} on {workers} workers")
    return trainer.train(recipe, dataset, workers=workers, folder=folder.path, on_record=on_record)


def _prove(
    recipe: Recipe, dataset: Dataset, trained: trainer.Trained, folder: RunFolder, listener: Listener
) -> Evaluation:
    """Export the trained model, show that the file answers as it does, and write what it is worth onto its card."""
    the_system = system.get(recipe.system)
    spec = recipe.model.spec(dataset.labels)
    model = _restore(recipe, dataset, trained)
    threshold = the_system.calibrate(model, dataset)

    listener.say("exporting to ONNX and checking parity")
    served = model.serving().eval()
    export.export(served, spec, folder.onnx)
    parity = export.check_parity(served, folder.onnx, spec, dataset.test)
    notes = _quantized(recipe, the_system, dataset, folder) if recipe.int8 else {}

    listener.say("evaluating on the test slice, baselines beside")
    predict = predictor(folder.onnx)
    evaluation = the_system.evaluate(predict, dataset, folder.plots, recipe.train.seed)
    folder.write_evaluation(evaluation)
    _write_samples(folder.samples, predict, dataset, recipe.train.seed)
    card = ModelCard(
        name=recipe.system,
        version=0,  # given by the registry
        task=spec.task,
        recipe=recipe.name,
        inputs=spec.inputs,
        outputs=spec.outputs,
        labels=dataset.labels,
        threshold=threshold,
        primary_metric=the_system.primary_metric,
        metrics=evaluation.metrics,
        baselines=evaluation.baselines,
        dataset=dataset.ref,
        parity=parity,
        commit=commit(),
        run_id="",
        opset=export.OPSET,
        onnx_sha256=pooch.file_hash(str(folder.onnx)),
        samples_sha256=pooch.file_hash(str(folder.samples)),
        summary=summarise(spec, dataset, predict),
        quality=the_system.quality,
        notes=notes,
    )
    folder.write_card(card)
    return evaluation


def _restore(recipe: Recipe, dataset: Dataset, trained: trainer.Trained) -> TrainableModel:
    model = recipe.model.build(dataset.labels)
    model.load_state_dict(trained.weights)
    return model.eval()


def _quantized(recipe: Recipe, the_system: system.System, dataset: Dataset, folder: RunFolder) -> dict[str, str]:
    """Replace the exported graph by its int8 copy. Raises GateRefused when validation says it costs too much."""
    exact = folder.path / "fp32.onnx"
    folder.onnx.rename(exact)
    quantize.quantize(exact, folder.onnx, dataset.train.inputs)
    held = dataset.validation
    before, after = (the_system.primary(predictor(path)(held.inputs), held.truth) for path in (exact, folder.onnx))
    loss = before - after
    if loss > quantize.MAX_LOSS:
        raise GateRefused(
            f"int8 costs {loss:.4f} of {the_system.primary_metric} on validation ({before:.4f} to {after:.4f}), "
            f"more than {quantize.MAX_LOSS}; {recipe.name} is not registered"
        )
    ratios = [quantize.speed_ratio(exact, folder.onnx, held.inputs, batch) for batch in (1, 32)]
    return {
        "int8.validation_loss": f"{loss:+.4f} of {the_system.primary_metric}",
        "int8.speed": "; ".join(map(str, ratios)) + ", one thread, over the fp32 graph",
    }


def _write_samples(path: Path, predict: Predict, dataset: Dataset, seed: int) -> None:
    """Test rows and the graph's own answers: every rare positive a drill could want, and chance for the rest."""
    rng = np.random.default_rng(seed)
    truth = dataset.test.truth
    chosen = np.sort(rng.permutation(len(truth))[:SAMPLE_ROWS])
    if truth.dtype == np.bool_:
        chosen = np.union1d(chosen, np.flatnonzero(truth))
    inputs = {name: values[chosen] for name, values in dataset.test.inputs.items()}
    outputs = predict(inputs)
    arrays: dict[str, Any] = {"truth": truth[chosen]}
    arrays |= {f"input.{name}": values for name, values in inputs.items()}
    arrays |= {f"output.{name}": values for name, values in outputs.items()}
    np.savez_compressed(path, **arrays)
