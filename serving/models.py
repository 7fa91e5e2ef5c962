"""The models' replicas as the front reaches them: through Ray Serve's deployment handles, by the model's name."""

import asyncio
import logging
from typing import Any

from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException

from serving.logs import LOGGER
from serving.protocol.errors import RequestError
from serving.tracing import carrier

READY_TIMEOUT_S = 2.0
CALL_TIMEOUT_S = 30.0
log = logging.getLogger(LOGGER)


class Models:
    """Calls methods of ModelReplica; the first argument of each is the trace that the call belongs to."""

    def __init__(self, names: tuple[str, ...]) -> None:
        from ray import serve

        self._handles = {name: serve.get_deployment_handle("model", app_name=name) for name in names}

    async def not_ready(self) -> list[str]:
        """The models of which no replica answers."""

        async def answers(name: str) -> bool:
            try:
                return bool(await asyncio.wait_for(self._handles[name].ready.remote(), READY_TIMEOUT_S))
            except Exception:  # whatever keeps it from answering, it is not ready
                return False

        names = list(self._handles)
        return [name for name, ok in zip(names, await asyncio.gather(*map(answers, names)), strict=True) if not ok]

    async def call(self, model: str, method: str, *arguments: Any) -> Any:
        """What that method of one of the model's replicas returns. Raises RequestError (404, 503)."""
        self.check(model)
        try:
            call = getattr(self._handles[model], method).remote(carrier(), *arguments)
            return await asyncio.wait_for(call, CALL_TIMEOUT_S)
        except (RayError, RayServeException, TimeoutError) as error:
            log.error("model %s did not answer", model, exc_info=error)
            raise RequestError(503, f"model {model} cannot answer now; try again", ((b"retry-after", b"1"),)) from None

    def check(self, model: str) -> None:
        """Raises RequestError (404) when the model is not served."""
        if model not in self._handles:
            raise self.unknown(model)

    def unknown(self, model: str) -> RequestError:
        """404 for a model that is not served."""
        return RequestError(404, f"there is no model {model!r} here; expected one of {', '.join(self._handles)}")
