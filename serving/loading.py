"""A model version from the registry to a predictor that has proven itself."""

from pathlib import Path

from drillyard.core.contract import ModelCard, ModelRef
from drillyard.core.errors import ArtifactRefused
from serving.artifact import fetch
from serving.predictor import Predictor


def load(ref: ModelRef, *, tracking_uri: str, cache: Path, threads: int, beside: ModelCard | None) -> Predictor:
    """Fetch, verify by hash and signature, answer the version's own samples, warm up.

    `beside` is the card of what is served already, if anything is: versions served one after the other or together
    take and give the same tensors, and mean the same by their positions. Raises ArtifactRefused, ModelNotFound,
    ServiceUnreachable.
    """
    model = fetch(ref, tracking_uri=tracking_uri, cache=cache)
    if beside is not None:
        for kind in ("inputs", "outputs", "labels"):
            if getattr(model.card, kind) != getattr(beside, kind):
                reason = f"its {kind} are not those of version {beside.version}, which clients rely on"
                raise ArtifactRefused(str(model.ref), reason)
    predictor = Predictor(model, threads=threads)
    predictor.prove()
    predictor.warm_up()
    return predictor
