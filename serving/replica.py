"""The Ray Serve deployment around a predictor: a thin shell, so that everything below it is tested without Ray."""

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from drillyard.core.contract import ModelCard, ModelRef
from serving.at_once import answered_at_once
from serving.grpc.model import ModelService
from serving.grpc.service import InferenceService, Rpc
from serving.grpc.tracing import span_name, traced_rpc
from serving.keys import guarded, ring_of
from serving.logs import LOGGER, access_logged, log_to, serve_request_id
from serving.protocol.guard import App
from serving.protocol.routes import ModelRoutes
from serving.recipes import ServeConfig
from serving.tracing import traced_answer, traced_app, traced_engine, tracer_of
from serving.variants import Report, Variants
from serving.version import server_version

if TYPE_CHECKING:
    from serving.follower import Loaded

log = logging.getLogger(LOGGER)


class ModelReplica(InferenceService):
    """One process that answers for one model.

    Ray Serve calls these methods; `ask` and `rpc` are called by the front, `follow` and `report` by the supervisor.
    When the constructor returns, the champion has answered real samples: a replica that Serve calls running can answer.
    Raises ArtifactRefused, ModelNotFound, ServiceUnreachable.
    """

    def __init__(self, ref: ModelRef, config: ServeConfig, tracking_uri: str, cache: str, metrics_folder: str) -> None:
        # Here, not above: the process that only describes the deployment must not load onnxruntime.
        from serving.follower import Follower
        from serving.loading import load
        from serving.memory import GrowthLimit
        from serving.metrics import ModelMetrics
        from serving.protocol.images import silence_pillow
        from serving.published import published

        assert ref.version is not None
        silence_pillow()
        if config.log_file is not None:
            log_to(config.log_file, f"replica {ref.name}", serve_request_id)
        self._keys = ring_of(config)
        self._access_log_share = config.access_log_share
        self._counted_by_serve = config.autoscaling is not None

        def load_version(version: int, beside: ModelCard | None) -> "Loaded":
            exact = ModelRef(name=ref.name, version=version)
            return load(exact, tracking_uri=tracking_uri, cache=Path(cache), threads=config.threads, beside=beside)

        self._follower = Follower(
            published(ref.name) or Variants(revision=0, champion=ref.version),
            load_version,
            lambda card: ModelMetrics(Path(metrics_folder), card.name, card.version),
            config.batching,
        )
        self._tracer = tracer_of(os.environ, f"replica {ref.name}")
        engine = traced_engine(self._follower.engine, self._tracer)
        self._routes = ModelRoutes(
            engine,
            self._follower.metrics,
            max_body_bytes=config.max_body_bytes,
            max_rows=config.max_rows,
            max_pixels=config.max_pixels,
        )
        self._service = ModelService(
            engine,
            self._follower.metrics,
            max_rows=config.max_rows,
            server_version=server_version(),
        )
        self._rpc = traced_rpc(Rpc(self._service, self._keys, self._follower.metrics.refused), self._tracer)
        self._growth = GrowthLimit(config.max_growth_bytes)  # last: what is loaded by now is no growth

    def __serve_build_asgi_app__(self) -> App:  # Ray's name: `serve.ingress()` calls it
        app = guarded(self._routes, self._keys, self._follower.metrics.refused)
        app = traced_app(access_logged(app, self._access_log_share), self._tracer)
        # Autoscaling goes by what Serve counts as under way; a span must begin and end in one task, and Serve may go on
        # in another.
        return app if self._counted_by_serve or self._tracer is not None else answered_at_once(app)

    def check_health(self) -> None:
        """Ray replaces the replica when this has raised three times in a row.

        A real inference, not merely a living process; and memory within its limit.
        """
        try:
            self._follower.check()
            self._growth.check()
        except Exception as error:
            log.error("not healthy: %s", error)
            raise

    async def ask(self, trace: dict[str, str], content_type: str, body: bytes) -> tuple[int, bytes]:
        """A person's request, forwarded by the front; status and JSON body of the answer."""
        return await traced_answer(self._routes.ask(content_type, body), self._tracer, "infer", trace)

    async def follow(self, wanted: Variants) -> Report:
        """Serve these variants from now on, if they prove themselves; see Follower."""
        return await self._follower.follow(wanted)

    async def report(self) -> Report:
        """What is served, and what was counted."""
        return self._follower.report()

    async def rpc(self, trace: dict[str, str], method: str, message: bytes) -> tuple[int, bytes]:
        """A gRPC call, forwarded by the front; 200 and the response's bytes, or an HTTP status and the error's text."""
        answer = self._service.answer_forwarded(method, message)
        return await traced_answer(answer, self._tracer, span_name(method), trace)

    async def ready(self) -> bool:
        """Answers at all, which is the point."""
        return True
