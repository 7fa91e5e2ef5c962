"""The process that starts Ray, deploys the models, waits, and takes everything down again."""

import logging
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FrameType

from drillyard.core import processes
from drillyard.core.errors import DrillyardError, ServiceUnreachable
from drillyard.core.settings import Settings
from serving import logs, state
from serving.artifact import LocalModel, fetch_all
from serving.environment import cluster_environment, haproxy_binary, server_environment
from serving.grpc.probe import says_ready
from serving.haproxy import FOLDER, SERVE_HOST
from serving.options import LOGGING, grpc_options, http_options
from serving.probe import Probe, with_probe
from serving.recipes import ServeConfig
from serving.state import ServerState, VariantState

Progress = Callable[[str], None]
events = logging.getLogger(logs.LOGGER)


class _SignalledError(BaseException):
    """SIGINT or SIGTERM came. Not an Exception, so that no handler of ordinary failures swallows it."""


def supervise(
    config: ServeConfig,
    settings: Settings,
    *,
    on_progress: Progress,
    on_ready: Callable[[ServerState], None],
    log: Path | None,
) -> None:
    """Serve until SIGINT or SIGTERM. Leaves nothing behind, however it ends. Must run in the main thread."""
    config = replace(config, log_file=config.log_file or settings.serving_log)
    assert config.log_file is not None
    logs.set_aside(config.log_file)
    logs.log_to(config.log_file, "supervisor")
    run_dir = Path(tempfile.mkdtemp(prefix="dy-", dir="/tmp"))  # short: unix socket paths end at 107 bytes
    server = ServerState(
        stage="starting",
        progress="starting",
        pid=os.getpid(),
        pid_started=processes.start_time(os.getpid()) or 0,
        run_dir=run_dir,
        host=config.host,
        port=config.port,
        url=config.url,
        grpc_address=config.grpc_address,
        models={},
        started_at=state.now(),
        log=log,
    )

    def progress(text: str) -> None:
        nonlocal server
        events.info(text)
        server = server.model_copy(update={"progress": text})
        state.write(settings, server)
        on_progress(text)

    local = settings.ray_address is None
    try:
        with _until_signalled() as rearm:
            progress("starting Ray and fetching the models")
            config, probe = with_probe(config)
            if local:
                os.environ.update(server_environment(config, run_dir, os.environ, haproxy_binary()))
            else:
                os.environ.update(cluster_environment(os.environ))
            with ThreadPoolExecutor(max_workers=1) as pool:
                models_come = pool.submit(fetch_all, config.models, settings)
                _start_ray(config, settings, run_dir)
                if models_come.done():
                    models_come.result()  # a model that cannot be had ends the start here, not after Serve's
                _start_serve(SERVE_HOST if local else config.host, config)
                rearm()
                models = models_come.result()
            progress("starting the replicas")
            _deploy(models, config, settings, run_dir)
            rearm()
            progress("waiting for every model to answer")
            _wait_until_answering(models, config, probe)
            versions = {model.card.name: model.card.version for model in models}
            server = server.model_copy(update={"stage": "ready", "progress": "ready", "models": versions})
            state.write(settings, server)
            events.info("ready")
            on_ready(server)

            def changed(variants: dict[str, VariantState]) -> None:
                nonlocal server
                champions = {name: variant.champion for name, variant in variants.items()}
                server = server.model_copy(update={"models": champions, "variants": variants})
                state.write(settings, server)

            from serving.conductor import conduct  # imports ray, whose environment had to stand before

            conduct(models, config, settings, run_dir, changed=changed, say=on_progress)
    except _SignalledError:
        events.info("ending")
        on_progress("ending")
    except DrillyardError as error:
        events.error("%s", error)
        raise
    except Exception:
        events.exception("unexpected failure")
        raise
    finally:
        with _undisturbed():
            _take_down(config, run_dir, local=local)
            state.clear(settings, server)


def _start_ray(config: ServeConfig, settings: Settings, run_dir: Path) -> None:
    import ray

    if settings.ray_address is not None:
        try:
            ray.init(address=settings.ray_address, log_to_driver=False, logging_level=logging.ERROR)
        except ConnectionError as error:
            raise ServiceUnreachable("Ray", settings.ray_address, f"it said: {error}") from None
    else:
        needed = len(config.models) * config.most_replicas * config.cpus_per_replica
        ray.init(
            # Logical: a machine with fewer cores than replicas shares them rather than wait for ever.
            num_cpus=max(os.cpu_count() or 1, int(-(-needed // 1))),
            object_store_memory=config.object_store_bytes,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            _temp_dir=str(run_dir / "ray"),
        )


def _start_serve(host: str, config: ServeConfig) -> None:
    from ray import serve

    serve.start(
        http_options=http_options(host, config), grpc_options=grpc_options(config), logging_config=dict(LOGGING)
    )


def _deploy(models: tuple[LocalModel, ...], config: ServeConfig, settings: Settings, run_dir: Path) -> None:
    from serving.app import build, deploy

    targets = build(
        models, config, tracking_uri=settings.tracking_uri, cache=settings.models, metrics_folder=run_dir / "metrics"
    )
    try:
        deploy(targets)
    except RuntimeError as error:
        raise DrillyardError(f"the models could not be deployed: {error}") from None


def _wait_until_answering(models: tuple[LocalModel, ...], config: ServeConfig, probe: Probe) -> None:
    """Through HAProxy, as a client asks: Serve calls an application running before HAProxy knows of it."""
    paths = ["/v2/health/ready", *(f"/v2/models/{model.card.name}/ready" for model in models)]
    deadline = time.monotonic() + config.start_timeout_s
    waiting = {config.url + path: partial(probe.answers, config.url + path) for path in paths}
    if config.grpc_address is not None:
        waiting[f"gRPC {config.grpc_address}"] = partial(says_ready, config.grpc_address, probe.context)
    for what, answers in waiting.items():
        while not answers():
            if time.monotonic() > deadline:
                raise DrillyardError(f"{what} did not answer within {config.start_timeout_s:.0f} s")
            time.sleep(0.05)


def _take_down(config: ServeConfig, run_dir: Path, *, local: bool) -> None:
    """HAProxy first: it stops listening and ends once the answers under way are sent. Then Ray, then what is left."""
    import ray

    if not ray.is_initialized():
        return
    if not local:
        from ray import serve

        serve.shutdown()
        ray.shutdown()
        return
    proxies = processes.saying(str(run_dir / FOLDER), processes.belonging_to(run_dir))
    for pid in proxies:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGUSR1)  # HAProxy's soft stop
    deadline = time.monotonic() + config.drain_s
    while any(processes.start_time(pid) is not None for pid in proxies) and time.monotonic() < deadline:
        time.sleep(0.02)
    ray.shutdown()


@contextmanager
def _until_signalled() -> Iterator[Callable[[], None]]:
    """SIGINT and SIGTERM raise _SignalledError; the yielded function arms again, after ray set its own handlers."""

    def ended(_: int, __: FrameType | None) -> None:
        raise _SignalledError

    def arm() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, ended)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    arm()
    try:
        yield arm
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Nothing interrupts the taking down: a second Ctrl-C would leave processes behind."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
