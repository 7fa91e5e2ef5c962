"""TLS certificates: checked before anything starts, handed to HAProxy, and trusted by the server's own probe."""

import ssl
from datetime import UTC, datetime
from pathlib import Path

from drillyard.core.errors import UsageError


def check(cert: Path, key: Path) -> None:
    """Refuse what HAProxy could not serve. Raises UsageError: not readable, not PEM, not a pair, not valid now."""
    from cryptography import x509

    for name, path in (("--tls-cert", cert), ("--tls-key", key)):
        try:
            path.read_bytes()
        except OSError as error:
            raise UsageError(name, str(path), f"a readable file ({error.strerror})") from None
    try:
        leaf = x509.load_pem_x509_certificates(cert.read_bytes())[0]  # the server's own stands first in a chain
    except ValueError as error:
        raise UsageError("--tls-cert", str(cert), f"certificates in PEM form ({error})") from None
    now = datetime.now(UTC)
    if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
        span = f"{leaf.not_valid_before_utc:%Y-%m-%d} to {leaf.not_valid_after_utc:%Y-%m-%d}"
        raise UsageError("--tls-cert", str(cert), f"a certificate that is valid now; this one is from {span}")
    _check_pair(cert, key)


def install(folder: Path, cert: Path, key: Path) -> Path:
    """Chain and key in one file, as HAProxy reads them, for its owner only; `folder` is private."""
    combined = folder / "tls.pem"
    combined.touch(mode=0o600)
    combined.write_bytes(cert.read_bytes().rstrip() + b"\n" + key.read_bytes())
    return combined


def probe_context(cert: Path) -> ssl.SSLContext:
    """For the server's own probe: trusts this very certificate, by whichever address it is asked."""
    context = ssl.create_default_context(cafile=str(cert))
    context.check_hostname = False  # the probe asks loopback; the certificate names the public host
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the leaf is enough, whoever issued it
    return context


def _check_pair(cert: Path, key: Path) -> None:
    """OpenSSL's own judgement, which is HAProxy's too."""

    def refuse_to_ask() -> str:
        raise UsageError("--tls-key", str(key), "a private key that is not encrypted: nobody is there to unlock it")

    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(cert, key, password=refuse_to_ask)
    except ssl.SSLError as error:
        raise UsageError("--tls-key", str(key), f"the private key of {cert} in PEM form ({error.reason})") from None
