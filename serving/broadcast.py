"""The supervisor's way to all replicas of a model: Ray Serve's broadcast."""

from typing import Any

from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException

from serving.options import MODEL_DEPLOYMENT
from serving.published import publish
from serving.variants import Answers, Report, Variants

FOLLOW_TIMEOUT_S = 90.0  # a version is fetched, proven and warmed up
REPORT_TIMEOUT_S = 5.0


class ServeReplicas:
    """Replicas of the running Serve applications, one application a model."""

    def __init__(self) -> None:
        self._handles: dict[str, Any] = {}

    def follow(self, model: str, variants: Variants) -> Answers:
        """Let every replica serve these variants, also those that start later."""
        publish(model, variants)
        return self._ask(model, FOLLOW_TIMEOUT_S, "follow", variants)

    def reports(self, model: str) -> Answers:
        """What every replica serves and has counted."""
        return self._ask(model, REPORT_TIMEOUT_S, "report")

    def _ask(self, model: str, timeout_s: float, method: str, *arguments: Any) -> Answers:
        try:
            answers = self._handle(model).broadcast(method, *arguments)
            found = answers.results(timeout_s=timeout_s, return_exceptions=True)
        except (RayError, RayServeException, TimeoutError) as error:
            return Answers(reports=(), failed=(_shortly(error),))
        reports = tuple(each for each in found if isinstance(each, Report))
        return Answers(reports=reports, failed=tuple(_shortly(e) for e in found if not isinstance(e, Report)))

    def _handle(self, model: str) -> Any:
        if model not in self._handles:
            handle = serve.get_deployment_handle(MODEL_DEPLOYMENT, app_name=model)
            # The throughput-optimised environment would have it on the caller's event loop; this process has none.
            handle._init(_run_router_in_separate_loop=True)
            self._handles[model] = handle
        return self._handles[model]


def _shortly(error: object) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[-1]
