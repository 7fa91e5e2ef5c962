"""`drillyard observe`: rules and dashboards made from the designs' promises, and a Prometheus that has them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from drillyard.cli.console import Console, JsonOption, QuietOption, settings, write_json
from drillyard.core import secret

app = typer.Typer(help="Alert on the designs' promises, and look at what runs.", no_args_is_help=True)

NamesArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[DESIGN]...", help="Whose promises; default all.", show_default=False)
]
PORT = 9190  # Debian's package starts a service of its own on 9090


@app.command()
def rules(
    names: NamesArgument = None,
    out: Annotated[Path | None, typer.Option(help="File; default below .drillyard.", dir_okay=False)] = None,
    quiet: QuietOption = False,
    json_path: JsonOption = None,
) -> None:
    """Write Prometheus rules: what was bad of each promise, burn-rate alerts, and alerts on what no promise shows.

    Example: drillyard observe rules fraud vision --out rules.yml
    """
    import designs
    from designs.monitoring import rule
    from designs.monitoring import rules as made

    found = made.groups(map(designs.get, names or designs.names()))
    path = out or settings().home / "prometheus" / "rules.yml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(made.rule_file(found))
    count = sum(len(group.rules) for group in found)
    Console(quiet=quiet, json_path=json_path).result(f"{count} rules: {path}")
    write_json(json_path, rule.document(found))


@app.command()
def dashboards(
    out: Annotated[Path | None, typer.Option(help="Folder; default below .drillyard.", file_okay=False)] = None,
    prometheus: Annotated[str, typer.Option(help="Where Grafana reaches Prometheus.")] = f"http://127.0.0.1:{PORT}",
    quiet: QuietOption = False,
    json_path: JsonOption = None,
) -> None:
    """Write Grafana dashboards, and the files that make a Grafana load them at its start.

    Example: drillyard observe dashboards --out grafana
    """
    from designs.monitoring import provisioning

    found = provisioning.write(out or settings().home / "grafana", prometheus)
    console = Console(quiet=quiet, json_path=json_path)
    for path in found:
        console.result(str(path))
    write_json(json_path, found)


@app.command()
def up(
    names: NamesArgument = None,
    url: Annotated[
        str | None, typer.Option(help="The server to watch; default this folder's, or where one would listen.")
    ] = None,
    port: Annotated[int, typer.Option(help="Port of Prometheus on 127.0.0.1.", min=1, max=65535)] = PORT,
    drill_port: Annotated[int, typer.Option(help="`drill run --metrics-port` to look for.", min=1, max=65535)] = 9464,
    training_port: Annotated[int, typer.Option(help="`train --metrics-port` to look for.", min=1, max=65535)] = 9465,
    quiet: QuietOption = False,
    json_path: JsonOption = None,
) -> None:
    """Run Prometheus (Debian package prometheus) against a local server with all rules loaded, until Ctrl-C.

    It listens on loopback only and keeps its data below DRILLYARD_HOME. DRILLYARD_API_KEY is shown to a server that
    asks for API keys, and SSL_CERT_FILE names the certificate to trust for https.

    Example: drillyard observe up
    """
    import designs
    from designs.monitoring import prometheus
    from designs.monitoring import rules as made

    console, where = Console(quiet=quiet, json_path=json_path), settings()
    text = made.rule_file(made.groups(map(designs.get, names or designs.names())))
    where.make_home()
    folder = where.home / "prometheus"
    server, address = url or _server(console), f"http://{prometheus.HOST}:{port}"
    with _kept(where.api_key, folder / "api-key") as key_file:
        targets = prometheus.Targets(
            server_url=server, drill_port=drill_port, training_port=training_port, api_key_file=key_file
        )
        with prometheus.running(folder, targets=targets, rules=text, port=port) as child:
            console.result(f"{address}  watches {server}; alerts: {address}/alerts (Ctrl-C ends it)")
            write_json(json_path, {"url": address, "pid": child.pid, "watches": server, "folder": folder})
            prometheus.watch(child, folder)


def _server(console: Console) -> str:
    """This folder's server; where none runs, the address that one would have."""
    from serving import lifecycle
    from serving.recipes import laptop

    found = lifecycle.status(settings())
    if found is not None:
        return found.url
    usual = laptop("any").url
    console.say(f"no server of this folder runs; watching {usual}, where `drillyard serve up` would listen")
    return usual


@contextmanager
def _kept(key: str | None, path: Path) -> Iterator[Path | None]:
    """The key in a file of its owner's meanwhile: Prometheus shows its configuration to whoever asks, not that file."""
    if key is None:
        yield None
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    secret.write(path, key)
    try:
        yield path
    finally:
        path.unlink()
