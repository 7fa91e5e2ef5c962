"""`drillyard predict`: scores for whole tables."""

from typing import Annotated

import typer

from drillyard.cli.console import Console, JsonOption, QuietOption, settings, write_json
from drillyard.cli.models import RefArgument


def predict(
    ref: RefArgument,
    source: Annotated[str, typer.Option("--input", help="Parquet: a file, a folder or s3://BUCKET/PREFIX.")],
    output: Annotated[str, typer.Option(help="New folder or s3://BUCKET/PREFIX for the scores.")],
    keep: Annotated[
        list[str] | None, typer.Option(help="Column of the input to have beside the scores; repeat.")
    ] = None,
    outputs: Annotated[
        list[str] | None, typer.Option(help="Output of the model to write; repeat. Default all.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Actors of one thread each; default all CPUs.", min=1)] = None,
    quiet: QuietOption = False,
    json_path: JsonOption = None,
) -> None:
    """Score Parquet with a registered model on Ray Data; a killed run goes on where it stopped.

    Example: drillyard predict fraud --input s3://bucket/transactions --output s3://bucket/scores
    """
    from drillyard.core.contract import ModelRef
    from pipelines import predict as batch
    from pipelines.cluster import check_room, cpus, ray_cluster

    console = Console(quiet=quiet, json_path=json_path)
    where = settings()
    request = batch.Request(
        model=ModelRef.parse(ref), source=source, output=output, outputs=tuple(outputs or ()), keep=tuple(keep or ())
    )
    planned = batch.plan(request, where, console.say)
    if planned.todo:
        console.say("starting Ray")
        with ray_cluster(where), console.step("predict") as step:
            check_room(actors := workers or cpus())
            rows_todo = planned.rows_todo

            def on_progress(now: batch.Scored) -> None:
                left_s = (rows_todo - now.rows) / max(now.rows_per_s, 1e-9)
                step.update(now.rows, rows_todo, {"rows/s": f"{now.rows_per_s:,.0f}", "ETA": f"{left_s:.0f} s"})

            scored = batch.score(planned, workers=actors, on_progress=on_progress)
    else:
        scored = batch.score(planned, workers=0)
    found = planned.job.manifest
    skipped = len(found.fragments) - scored.parts
    rate = f" at {scored.rows_per_s:,.0f} rows/s" if scored.parts else ""
    console.result(f"{scored.rows:,} rows scored by {found.model}{rate}; {len(found.fragments)} parts in {output}")
    write_json(
        json_path,
        {
            "model": found.model,
            "onnx_sha256": found.onnx_sha256,
            "input": found.input,
            "output": planned.job.output.location,
            "rows": found.rows,
            "parts": len(found.fragments),
            "rows_scored": scored.rows,
            "parts_skipped": skipped,
            "scoring_s": scored.scoring_s,
            "rows_per_s": scored.rows_per_s,
        },
    )
