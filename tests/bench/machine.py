"""The machine that a run was made on, and Debian's packages for it."""

import os
import platform
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path


def describe() -> dict[str, str]:
    """What numbers depend on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cpu": model,
        "cores": str(os.cpu_count()),
        "memory": f"{memory:.0f} GB",
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
        "mitmproxy": version("mitmproxy"),
    }


def install(package: str) -> str:
    """Make sure that a program of a Debian package of its name is there; why not, or ""."""
    if shutil.which(package):
        return ""
    if os.geteuid() or not shutil.which("apt-get"):
        return f"not installed: apt-get install {package}"
    for arguments in (["update"], ["install", "--yes", "--no-install-recommends", package]):
        command = ["apt-get", *arguments]
        # Debian would start nginx as a service.
        env = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        done = subprocess.run(command, capture_output=True, check=False, env=env, timeout=300)
        if done.returncode:
            return f"`{' '.join(command)}` failed: {done.stderr.decode().strip()[-200:]}"
    return ""
