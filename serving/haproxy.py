"""What Ray Serve's HAProxy must do differently here, as a wrapper around its binary.

Serve writes HAProxy's configuration from a template with few settings. The wrapper corrects the file that it is given
and then becomes HAProxy (`exec`: the process id stays the one Serve waits for):

- statistics and HAProxy's own metrics listen on loopback, not on all interfaces;
- nothing is sent to syslog (the template logs every request to UDP port 514);
- a request's headers must arrive within 10 s, so that slow clients cannot hold connections for ever;
- errors that HAProxy itself answers are JSON, with the true status (503: no replica), not a plain 500;
- replicas read bodies as they come rather than watch for disconnects: two tasks less for each request;
- HAProxy ends with the Serve process that started it (it would outlive a killed Ray, and keep the port).
"""

import shlex
from pathlib import Path

_UNAVAILABLE = '{"error":"no replica can answer now; try again"}'

# `sed` on the rendered template of Ray 2.60; `tests/serving/test_lifecycle.py` holds it against the installed one.
_EDITS = (
    r"s|^\( *bind \)\*\?:\([0-9]\+\)$|\1127.0.0.1:\2|",  # only the statistics and metrics listeners have this form
    r"s|^ *log .* local0 info$||",
    r"s|^defaults$|defaults\n    timeout http-request 10s|",
    r"s|^frontend http_frontend$|frontend http_frontend\n    http-request set-header x-request-disconnect-disabled ?1|",
)


def install(folder: Path, binary: str) -> Path:
    """Write the wrapper and its error page; the result is for RAY_SERVE_HAPROXY_BINARY_PATH."""
    page = folder / "503.http"
    page.write_text(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n"
        f"content-length: {len(_UNAVAILABLE)}\r\n\r\n{_UNAVAILABLE}"
    )
    edits = [*_EDITS, rf"s|^\( *errorfile 50[234] \).*|\1{page}|"]
    script = "\n".join(
        (
            "#!/bin/sh",
            'for argument in "$@"; do',
            '  if [ "$previous" = -f ]; then sed -i '
            + " ".join(f"-e {shlex.quote(e)}" for e in edits)
            + ' "$argument"; fi',
            "  previous=$argument",
            "done",
            f'if command -v setpriv >/dev/null; then exec setpriv --pdeathsig KILL -- {shlex.quote(binary)} "$@"; fi',
            f'exec {shlex.quote(binary)} "$@"',
        )
    )
    wrapper = folder / "haproxy"
    wrapper.write_text(script + "\n")
    wrapper.chmod(0o700)
    return wrapper
