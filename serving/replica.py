"""The Ray Serve deployment around a predictor: a thin shell, so that everything below it is tested without Ray."""

from pathlib import Path

from drillyard.core.contract import ModelRef
from serving.keys import guarded, ring_of
from serving.logs import access_logged, log_to, serve_request_id
from serving.protocol.guard import App
from serving.protocol.routes import ModelRoutes
from serving.recipes import ServeConfig


class ModelReplica:
    """One process that answers for one model version. Ray Serve calls these methods; `ask` is called by the front.

    The constructor returns only when the model has answered real samples, so a replica that Serve calls running can
    answer. Raises ArtifactRefused, ModelNotFound, ServiceUnreachable.
    """

    def __init__(self, ref: ModelRef, config: ServeConfig, tracking_uri: str, cache: str, metrics_folder: str) -> None:
        # Here, not above: the process that only describes the deployment must not load onnxruntime.
        from serving.artifact import fetch
        from serving.engine import Engine
        from serving.loopback import bind_replica_to_loopback
        from serving.metrics import ModelMetrics
        from serving.predictor import Predictor

        bind_replica_to_loopback()
        if config.log_file is not None:
            log_to(config.log_file, f"replica {ref.name}", serve_request_id)
        self._keys = ring_of(config)
        model = fetch(ref, tracking_uri=tracking_uri, cache=Path(cache))
        self._predictor = Predictor(model, threads=config.threads)
        self._predictor.warm_up()
        self._access_log_share = config.access_log_share
        self._metrics = metrics = ModelMetrics(Path(metrics_folder), model.card.name, model.card.version)
        self._routes = ModelRoutes(
            Engine(self._predictor, metrics, config.batching),
            metrics,
            max_body_bytes=config.max_body_bytes,
            max_rows=config.max_rows,
            max_pixels=config.max_pixels,
        )

    def __serve_build_asgi_app__(self) -> App:  # Ray's name: `serve.ingress()` calls it
        return access_logged(guarded(self._routes, self._keys, self._metrics.refused), self._access_log_share)

    def check_health(self) -> None:
        """Ray replaces the replica when this raises: a real inference, not merely a living process."""
        self._predictor.check()

    async def ask(self, content_type: str, body: bytes) -> tuple[int, bytes]:
        """A person's request, forwarded by the front; status and JSON body of the answer."""
        return await self._routes.ask(content_type, body)

    async def ready(self) -> bool:
        """Answers at all, which is the point."""
        return True
