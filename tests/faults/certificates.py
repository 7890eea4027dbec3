"""Certificates for a server of the tests: a good one, and those that must not be believed."""

import datetime as dt
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from mitmproxy import certs

HOST = "127.0.0.1"


def context(authority: Path, folder: Path, *, host: str = HOST, days: int = 30) -> ssl.SSLContext:
    """For a server whose certificate the authority in a folder has signed.

    Args:
        authority: a folder with mitmproxy's certificate authority; made if there is none.
        folder: for the certificate.
        host: the address or name that the certificate is for.
        days: from now until its end; a negative number is in the past.
    """
    store = certs.CertStore.from_store(authority, "mitmproxy", 2048)
    key = ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)
    name: x509.GeneralName = (
        x509.IPAddress(ipaddress.ip_address(host)) if host[0].isdigit() else x509.DNSName(host)
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)]))
        .issuer_name(store.default_ca.to_cryptography().subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=60))
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([name]), critical=False)
        .sign(store.default_privatekey, hashes.SHA256())
    )
    file = folder / f"server-{host}-{days}.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(file)
    return made


def authority_file(authority: Path) -> Path:
    """What a client has to trust."""
    return authority / "mitmproxy-ca-cert.pem"
