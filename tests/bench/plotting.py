"""Draw a run's plots with the Matplotlib of an environment of its own."""

import subprocess
import sys
from pathlib import Path

from bench import peers


def draw(run: Path, folder: Path, *files: str) -> None:
    """Make these PNGs of a run's file in a folder, or all; without Matplotlib, say so and make none."""
    try:
        python = peers.venv("plots", "matplotlib>=3.10,<4")
    except peers.CannotRunError as e:
        print(f"bench: no plots: {e}", file=sys.stderr)  # noqa: T201
        return
    folder.mkdir(parents=True, exist_ok=True)
    script = Path(__file__).with_name("plots.py")
    subprocess.run([python, script, run, folder, *files], check=True)
