"""Certificate authorities: the usual ones, those of SSL_CERT_FILE, of mitmproxy's option, and of `tls-ca`."""

from pathlib import Path

import certifi
import pytest
from mitmproxy import certs
from mitmproxy.options import Options

from litellm_hybrid.proxy.trust import TrustStore, client_context, problem


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with one authority of our own."""
    folder = tmp_path_factory.mktemp("authority")
    certs.CertStore.from_store(folder, "own", 2048)
    return folder / "own-ca-cert.pem"


@pytest.fixture(autouse=True)
def _no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)


def trusted(options: Options) -> str:
    return Path(options.ssl_verify_upstream_trusted_ca or certifi.where()).read_text()


def test_without_a_file_nothing_changes() -> None:
    options = Options()
    TrustStore().apply(options, None)
    assert options.ssl_verify_upstream_trusted_ca is None


def test_the_file_is_trusted_beside_the_usual_ones_until_it_is_named_no_more(authority: Path) -> None:
    options, store = Options(), TrustStore()

    store.apply(options, authority)
    first = str(options.ssl_verify_upstream_trusted_ca)
    assert authority.read_text() in trusted(options)
    assert Path(certifi.where()).read_text() in trusted(options)

    store.apply(options, authority)
    second = str(options.ssl_verify_upstream_trusted_ca)
    assert first != second, "mitmproxy would keep what it knows of the old one"
    assert not Path(first).exists()

    store.apply(options, None)
    assert options.ssl_verify_upstream_trusted_ca is None
    assert not Path(second).exists()


def test_what_a_user_has_set_stays_trusted(authority: Path, tmp_path: Path) -> None:
    own = tmp_path / "mine.pem"
    own.write_text("# mine\n" + authority.read_text())
    options, store = Options(ssl_verify_upstream_trusted_ca=str(own)), TrustStore()

    store.apply(options, authority)
    assert "# mine" in trusted(options)
    store.close()
    assert not Path(str(options.ssl_verify_upstream_trusted_ca)).exists()

    store.apply(options, None)
    assert options.ssl_verify_upstream_trusted_ca == str(own)


def test_ssl_cert_file_comes_in_the_place_of_certifis(
    authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    options = Options()
    TrustStore().apply(options, None)
    assert trusted(options) == authority.read_text()
    assert len(client_context(None).get_ca_certs()) == 1


def test_a_client_trusts_the_file_too(authority: Path) -> None:
    assert len(client_context(authority).get_ca_certs()) == len(client_context(None).get_ca_certs()) + 1


def test_a_file_that_cannot_be_used_is_said(authority: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    assert problem(None) == problem(authority) == ""
    assert problem(tmp_path / "missing.pem").endswith("missing.pem cannot be used: No such file or directory")
    assert problem(empty).endswith("empty.pem cannot be used: no certificate in PEM form is in it")
