"""What holds in every way of running it: private authorities, IPv6 addresses, a home that cannot be written."""

import os
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from e2e.harness import Stub, settings
from e2e.tls import server_context
from support.ports import free_port
from support.processes import Process, running
from support.servers import in_thread

WAYS = ["mitmdump", "mitmweb", "serve", "workers", "dump", "web"]
HERE = Path(__file__).parents[2] / "addon" / "hybrid.py"
BESIDE = Path(sys.executable)
UNWRITABLE = "/proc/nobody"
"""Where no folder can be made, by root neither."""


def _accepts(port: int) -> bool:
    """Whether it is ready; by HTTPS, which needs a certificate authority."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with urllib.request.urlopen(
            f"https://[::1]:{port}/_hybrid/health", context=context, timeout=5
        ) as page:
            return bool(page.status == 200)
    except OSError:
        return False


@contextmanager
def started(way: str, upstream: str, folder: Path, **environment: str) -> Iterator[Process]:
    """Run it behind `[::1]` until it is ready; its configuration is there."""
    config, port = folder / "config.yaml", free_port()
    if way.startswith("mitm"):
        command: list[str | Path] = [BESIDE.with_name(way), "-s", HERE, "--set", f"litellm_config={config}"]
        command += ["--mode", f"reverse:{upstream}@::1:{port}"]
    else:
        verb = "serve" if way == "workers" else way
        command = [BESIDE.with_name("litellm-hybrid"), verb, "-c", config, "--upstream", upstream]
        command += ["--listen", f"[::1]:{port}"]
    if way == "workers":
        command += ["--workers", "2"]
    if way.endswith("web"):
        command += ["--set", "web_open_browser=false", "--set", f"web_port={free_port()}"]
    env = os.environ | {"PYTHONUNBUFFERED": "1"} | environment
    with running(command, name=way, log=folder / "log", port=port, ready=_accepts, env=env) as process:
        yield process


def _ask(process: Process, model: str) -> int:
    url = f"http://[::1]:{process.port}/v1/messages"
    with httpx.Client(trust_env=False, timeout=60) as client:
        return client.post(url, json={"model": model}).status_code


@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_running(way: str, confdir: Path, tmp_path: Path) -> None:
    """Both servers have certificates of a private authority; there is no folder for one of our own."""
    tls, authority = server_context(confdir), confdir / "mitmproxy-ca-cert.pem"
    with in_thread(Stub(tls=tls, host="::1")) as upstream, in_thread(Stub(tls=tls, host="::1")) as litellm:
        config = settings(litellm.url, tls_ca=str(authority))
        (tmp_path / "config.yaml").write_text(repr(config).replace("True", "true"))
        with started(way, upstream.url, tmp_path, HOME=UNWRITABLE) as process:
            for model, server in (("o3", upstream), ("gpt-5", litellm)):
                assert _ask(process, model) == 200
                assert server.last.values("host") == [f"[::1]:{server.port}"]
        output = process.output()
    assert output.count(UNWRITABLE) == 1
    assert "Traceback" not in output


@pytest.mark.parametrize("way", ["mitmdump", "workers"])
def test_the_authorities_of_the_environment(way: str, confdir: Path, tmp_path: Path) -> None:
    tls, authority = server_context(confdir), confdir / "mitmproxy-ca-cert.pem"
    with in_thread(Stub(tls=tls, host="::1")) as upstream, in_thread(Stub(tls=tls)) as litellm:
        (tmp_path / "config.yaml").write_text(repr(settings(litellm.url)).replace("True", "true"))
        environment = {"SSL_CERT_FILE": str(authority), "HOME": str(tmp_path)}
        with started(way, upstream.url, tmp_path, **environment) as process:
            assert [_ask(process, model) for model in ("o3", "gpt-5")] == [200, 200]
        assert "Traceback" not in process.output()


@pytest.mark.parametrize("trusted", ["tls-ca", "SSL_CERT_FILE", ""])
def test_the_doctor_trusts_them_too(trusted: str, confdir: Path, tmp_path: Path) -> None:
    tls, authority = server_context(confdir), str(confdir / "mitmproxy-ca-cert.pem")
    with in_thread(Stub(tls=tls, host="::1")) as upstream, in_thread(Stub(tls=tls)) as litellm:
        keys = {"tls_ca": authority} if trusted == "tls-ca" else {}
        config = settings(litellm.url, upstream_url=upstream.url, **keys)
        (tmp_path / "config.yaml").write_text(repr(config).replace("True", "true"))
        env = {name: value for name, value in os.environ.items() if name != "SSL_CERT_FILE"}
        env |= {"SSL_CERT_FILE": authority} if trusted == "SSL_CERT_FILE" else {}
        command: list[str | Path] = [BESIDE.with_name("litellm-hybrid"), "doctor", "-c"]
        command += [tmp_path / "config.yaml"]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=100)
    assert done.stdout.count("is not trusted") == (0 if trusted else 2), done.stdout
    assert bool(upstream.requests and litellm.requests) is bool(trusted)


def test_a_folder_for_the_authority(tmp_path: Path) -> None:
    with in_thread(Stub()) as upstream, in_thread(Stub()) as litellm:
        config, port, folder = tmp_path / "config.yaml", free_port(), tmp_path / "authority"
        config.write_text(repr(settings(litellm.url)).replace("True", "true"))
        command: list[str | Path] = [BESIDE.with_name("litellm-hybrid"), "serve", "-c", config]
        command += [
            "--upstream",
            upstream.url,
            "--listen",
            f"[::1]:{port}",
            "--confdir",
            folder,
            "--workers",
            "2",
        ]
        env = os.environ | {"HOME": UNWRITABLE}
        with running(
            command, name="serve", log=tmp_path / "log", port=port, ready=_accepts, env=env
        ) as process:
            assert (folder / "mitmproxy-ca-cert.pem").is_file()
        assert UNWRITABLE not in process.output()
