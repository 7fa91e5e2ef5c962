"""How a server asks itself whether it answers: as a client does, with a key and a trusted certificate of its own."""

import secrets
from dataclasses import dataclass, replace
from ssl import SSLContext
from urllib.error import URLError
from urllib.request import Request, urlopen

from serving import tls
from serving.keyfile import KeyHash, new_key
from serving.recipes import ServeConfig

_TIMEOUT_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Probe:
    """GET requests to one server."""

    headers: dict[str, str]
    context: SSLContext | None

    def answers(self, url: str) -> bool:
        """Whether the answer is 200."""
        try:
            with urlopen(Request(url, headers=self.headers), timeout=_TIMEOUT_S, context=self.context) as response:
                return bool(response.status == 200)
        except (URLError, OSError):
            return False


def with_probe(config: ServeConfig) -> tuple[ServeConfig, Probe]:
    """The probe, and the configuration that lets it in: its key is new, and lives as long as this process."""
    context = tls.probe_context(config.tls_cert) if config.tls_cert is not None else None
    if not config.asks_for_keys:
        return config, Probe(headers={}, context=context)
    key = new_key()
    admitted = replace(config, keys=(*config.keys, str(KeyHash.of(f"supervisor-{secrets.token_hex(4)}", key))))
    return admitted, Probe(headers={"Authorization": f"Bearer {key}"}, context=context)
