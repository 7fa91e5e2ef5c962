"""A certificate by which two programs of one user know each other."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from drillyard.core import secret

_DAYS = 3650  # it is made anew with each start; the clock may be wrong by years


def make(folder: Path) -> tuple[Path, Path]:
    """Write a self-signed certificate and its key; their paths.

    Who holds the key may be server and client, and trusts nothing but this certificate.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "drillyard stack")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = folder / "certificate.pem"
    public.write_bytes(certificate.public_bytes(encoding))
    return public, secret.write(folder / "key.pem", private.decode())
