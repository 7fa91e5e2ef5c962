"""`drillyard serve`: start, look at and end the server."""

from pathlib import Path
from typing import Annotated

import typer

from drillyard.cli import keys, variants
from drillyard.cli.console import Console, JsonOption, QuietOption, settings, write_json

app = typer.Typer(help="Serve champions on Ray Serve.", no_args_is_help=True)
app.add_typer(keys.app, name="key")
for command in (variants.sync, variants.canary, variants.shadow, variants.rollback):
    app.command()(command)


@app.command()
def up(
    models: Annotated[list[str] | None, typer.Argument(help="Models to serve; default every champion.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of every HTTP route.", min=1, max=65535)] = 8000,
    grpc_port: Annotated[int, typer.Option(help="Port of gRPC; 0 turns it off.", min=0, max=65535)] = 8001,
    replicas: Annotated[int, typer.Option(help="Processes for each model.", min=1)] = 1,
    max_replicas: Annotated[
        int | None, typer.Option(help="Add processes while requests pile up, to at most this number.", min=1)
    ] = None,
    keys_file: keys.FileOption = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate chain (PEM): speak TLS only.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="The certificate's private key (PEM).")] = None,
    access_log: Annotated[float, typer.Option(help="Share of requests that leave a line in the log.")] = 0.0,
    watch: Annotated[
        float | None, typer.Option(help="Follow the registry's champions, looking every so many seconds.", min=1)
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="A named change of the settings from the issue pack, many wrong on purpose.")
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Return when ready; the server goes on.")] = False,
    quiet: QuietOption = False,
    json_path: JsonOption = None,
) -> None:
    """Serve models; ready only when every one of them answers. Ctrl-C (or `serve down`) ends it.

    Beyond loopback every route but live and ready asks for an API key; on loopback it does when --keys-file or
    DRILLYARD_SERVER_KEYS gives some.

    Example: drillyard serve up fraud vision --port 8000 --detach
    """
    from dataclasses import replace

    from drillyard.core.contract import ModelRef
    from serving import lifecycle, mistakes
    from serving.recipes import Autoscaling, is_loopback, laptop
    from serving.state import ServerState

    console, where = Console(quiet=quiet, json_path=json_path), settings()
    refs = tuple(ModelRef.parse(model) for model in models or champions())
    if keys_file is None and not is_loopback(host) and not where.server_keys:
        keys_file = where.keys_file
    config = replace(
        laptop(*(ref.name for ref in refs), port=port, grpc_port=grpc_port),
        models=refs,
        host=host,
        replicas=replicas,
        autoscaling=None if max_replicas is None else Autoscaling(max_replicas=max_replicas),
        keys_file=keys_file and keys_file.resolve(),
        keys=where.server_keys,
        tls_cert=tls_cert and tls_cert.resolve(),
        tls_key=tls_key and tls_key.resolve(),
        access_log_share=access_log,
        watch_s=watch,
    )
    if recipe is not None:
        config = mistakes.get(recipe)(config)

    def ready(state: ServerState) -> None:
        console.result(_describe(state))
        write_json(json_path, state)

    if detach:
        ready(lifecycle.start_detached(config, where, on_progress=console.say))
    else:
        lifecycle.run_foreground(config, where, on_progress=console.say, on_ready=ready)


@app.command()
def status(json_path: JsonOption = None) -> None:
    """Say whether a server of this folder runs; exit code 4 when none does.

    Example: drillyard serve status
    """
    from drillyard.core.errors import ExitCode
    from serving import lifecycle

    found = lifecycle.status(settings())
    Console(quiet=False, json_path=json_path).result(
        _describe(found) if found else "no server runs; start one: drillyard serve up"
    )
    write_json(json_path, found)
    if found is None:
        raise typer.Exit(ExitCode.UNREACHABLE)


@app.command()
def down(quiet: QuietOption = False) -> None:
    """End the server of this folder, and whatever a killed one left behind.

    Example: drillyard serve down
    """
    from serving import lifecycle

    found = lifecycle.stop(settings())
    Console(quiet=quiet, json_path=None).result("server ended" if found else "no server was running")


def champions() -> list[str]:
    """Every registered model that has a champion. Raises ModelNotFound when there is none."""
    from drillyard.core.contract import CHAMPION
    from drillyard.core.errors import ModelNotFound
    from pipelines import registry

    found = [model.name for model in registry.versions(settings()) if CHAMPION in model.aliases]
    if not found:
        raise ModelNotFound("(any)@champion", "train one: drillyard train fraud")
    return found


def _describe(state: object) -> str:
    from serving.state import ServerState

    assert isinstance(state, ServerState)
    models = ", ".join(f"{name}/{version}" for name, version in state.models.items()) or state.progress
    grpc = f"gRPC {state.grpc_address}, " if state.grpc_address is not None else ""
    lines = [f"{state.url}  {models}  ({grpc}process {state.pid}, API page {state.url}/docs)"]
    lines += [variants.described(name, variant) for name, variant in state.variants.items() if variant.event]
    return "\n".join(lines)
