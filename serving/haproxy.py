"""What Ray Serve's HAProxy must do differently here, as a wrapper around its binary.

Serve writes HAProxy's configuration from a template with few settings. The wrapper corrects the file that it is given
and then becomes HAProxy (`exec`: the process id stays the one Serve waits for):

- statistics and HAProxy's own metrics listen on loopback, not on all interfaces;
- nothing is sent to syslog (the template logs every request to UDP port 514), nor to Serve's own Python process, which
  would parse a line for each request: replicas are told that it does, and so do not count for Ray's metrics themselves;
- a request's headers, and the first 16 KiB of its body, must arrive within 10 s before a replica hears of it, so that
  slow clients hold no connection for ever and no place in a replica at all;
- a replica is given only as many requests at once as the configuration says; the next ones wait here, for a short time,
  and then get 503 with Retry-After: refusing costs least where it is done in C, and who was accepted is served in time;
- a replica that is gone is asked again after a quarter of a second and not a whole one: HAProxy pauses between tries
  for as long as connecting may take;
- a low limit of open files does not keep it from starting;
- each request is stamped with its time of arrival, from which deadlines count, and with an id unless it has one;
- while it knows no application yet (a moment after it was started again) it says 503, not that there is no such route;
- errors that HAProxy itself answers are JSON, with the true status (503: no replica), not a plain 500;
- it listens where the configuration says, in TLS when it says so; Serve itself, and with it each replica's own port, is
  told to stay on loopback;
- Serve's own routes below `/-/` are not for clients: they would answer without asking for an API key;
- gRPC calls find their model by what they ask (grpc/routing.py), and only the inference protocol's are let in;
- replicas read bodies as they come rather than watch for disconnects: two tasks less for each request;
- HAProxy ends with the Serve process that started it (it would outlive a killed Ray, and keep the port);
- one that is started again begins with the routes of the last, and takes over from what stands in (standin.py).
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FOLDER = "ha"  # of the wrapper, below the server's run folder
PAGE = "503.http"  # the error page, in that folder
BINARY = "bin/haproxy"  # what it wraps
# The wrapper's notes in its folder: which process Serve started last, and by what configuration with routes.
PID_FILE, LAST_CONFIG = "pid", "last.cfg"
STANDIN_PID, STANDIN_SOCKET = "standin.pid", "standin.sock"
SERVE_HOST = "127.0.0.1"  # where Serve is told to listen
_NO_ROUTE = '{"error":"there is no such route; see /docs for those that are"}'
_UNAVAILABLE = '{"error":"no replica can answer now; try again"}'

# `sed` on the rendered template of Ray 2.60; `tests/serving/test_lifecycle.py` holds it against the installed one.
_EDITS = (
    r"s|^\( *bind \)\*\?:\([0-9]\+\)$|\1127.0.0.1:\2|",  # only the statistics and metrics listeners have this form
    r"s|^ *log .* local0 info$||",
    r"s|^ *log .* local1 debug$||",
    r"s|^ *log-format-sd .*||",
    r"s|^ *http-request set-var-fmt(txn\.serve_.*||",
    rf"s|^\( *http-request return\) status 404 content-type text/plain lf-string .*|\1 status 503"
    rf" content-type application/json hdr retry-after 1 string '{_UNAVAILABLE}'|",
    r"s|^\( *http-request return status 200 content-type application/grpc hdr grpc-status\) 5 hdr grpc-message"
    r' "Application metadata not set.*|\1 14 hdr grpc-message "no replica can answer now; try again"|',
    r"s|^global$|global\n    no strict-limits|",
    r"s|^\( *timeout connect \)[0-9]*s$|\1250ms|",
)


ERROR_PAGE = (
    "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n"
    f"content-length: {len(_UNAVAILABLE)}\r\n\r\n{_UNAVAILABLE}"
)


@dataclass(frozen=True, kw_only=True)
class Listener:
    """Where clients reach HAProxy."""

    host: str
    port: int
    grpc_port: int
    open_path: str | None = None  # the one of Serve's own routes that clients may ask
    pem: Path | None = None  # certificate chain and private key; with them TLS 1.2 or newer, and nothing else


@dataclass(frozen=True, kw_only=True)
class Queue:
    """How much of the load is let through to the replicas."""

    per_replica: int  # requests under way at once
    timeout_s: float  # that a request may wait for a replica with room


def install(folder: Path, binary: str, listener: Listener, queue: Queue, routing: Sequence[str]) -> Path:
    """Write the wrapper and its error page; `routing` are further edits.

    The result is for RAY_SERVE_HAPROXY_BINARY_PATH.
    """
    page = folder / PAGE
    page.write_text(ERROR_PAGE)
    (folder / BINARY).parent.mkdir()
    (folder / BINARY).symlink_to(binary)
    wrapper = folder / "haproxy"
    wrapper.write_text(script(folder, page, binary, listener, queue, routing))
    wrapper.chmod(0o700)
    return wrapper


def script(notes: Path, page: Path, binary: str, listener: Listener, queue: Queue, routing: Sequence[str]) -> str:
    """The wrapper's text. It keeps its notes in one folder; `page` holds ERROR_PAGE, `routing` are further edits."""
    own = [*_EDITS, _frontend(listener.open_path), *_bound(queue), *_listening(listener)]
    whole = [*own, *routing, rf"s|^\( *errorfile 50[234] \).*|\1{page}|"]
    pid = shlex.quote(str(notes / PID_FILE))
    lines = (
        "#!/bin/sh -e",  # a file that could not be corrected is not served
        'for argument in "$@"; do',
        '  if [ "$previous" = -f ]; then',
        "    sed -i " + " ".join(f"-e {shlex.quote(e)}" for e in whole) + ' "$argument"',
        *_keep_routes(notes),
        "  fi",
        "  previous=$argument",
        "done",
        *_take_over(notes),
        f"echo $$ > {pid}.new && mv {pid}.new {pid}",
        f'if command -v setpriv >/dev/null; then exec setpriv --pdeathsig KILL -- {shlex.quote(binary)} "$@"; fi',
        f'exec {shlex.quote(binary)} "$@"',
    )
    return "\n".join(lines) + "\n"


def _keep_routes(folder: Path) -> tuple[str, ...]:
    """A process that Serve starts anew gets a configuration without routes first, which would refuse everything."""
    last = shlex.quote(str(folder / LAST_CONFIG))
    return (
        "    if grep -q '^ *acl is_.* path_beg /' \"$argument\"; then",
        # What the last process knew of the replicas' health is not true any more when another takes over later.
        f'      sed /server-state/d "$argument" > {last}.new && mv {last}.new {last}',
        f'    elif [ -f {last} ]; then cp {last} "$argument"; fi',
    )


def _take_over(folder: Path) -> tuple[str, ...]:
    """From a stand-in (standin.py), if one serves: its listening sockets, and then it finishes what it has begun."""
    pid, sock = (shlex.quote(str(folder / name)) for name in (STANDIN_PID, STANDIN_SOCKET))
    return (
        f"if [ -S {sock} ] && kill -0 $(cat {pid}) 2>/dev/null; then",
        f'  set -- "$@" -x {sock} -sf $(cat {pid}); rm {pid}',
        "fi",
    )


def _frontend(open_path: str | None) -> str:
    closed = "{ path,url_dec -m beg -i /-/ }" + ("" if open_path is None else f" !{{ path {open_path} }}")
    return (
        r"s|^frontend http_frontend$|frontend http_frontend\n    option http-buffer-request\n"
        r"    http-request set-header x-request-start %[date(0,ms)]\n"
        r"    http-request set-header x-request-disconnect-disabled ?1\n"
        r"    http-request set-header x-request-id %[uuid] unless { req.hdr(x-request-id) -m found }\n"
        rf"    http-request return status 404 content-type application/json string '{_NO_ROUTE}' if {closed}|"
    )


def _bound(queue: Queue) -> tuple[str, str]:
    """A line that was corrected before no longer ends with `check`."""
    timeouts = rf"timeout http-request 10s\n    timeout queue {round(queue.timeout_s * 1000)}ms"
    return (
        rf"s|^defaults$|defaults\n    {timeouts}|",
        rf"s|^\( *default-server .*check\)$|\1 maxconn {queue.per_replica}|",
    )


def _listening(listener: Listener) -> list[str]:
    """Edits that have it listen there: by port, so that they never mean the statistics' line, however often applied."""
    host = f"[{listener.host}]" if ":" in listener.host else listener.host
    edits = []
    for port, alpn, protocol in ((listener.port, "http/1.1", ""), (listener.grpc_port, "h2", " proto h2")):
        tls = "" if listener.pem is None else f" ssl crt {listener.pem} ssl-min-ver TLSv1.2 alpn {alpn}"
        edits.append(rf"s|^\( *bind \){SERVE_HOST}:{port}{protocol}$|\1{host}:{port}{tls}{protocol}|")
    return edits
