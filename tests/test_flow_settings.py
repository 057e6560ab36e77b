"""What importing `flows` prepares for Prefect."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_prefect_has_a_home_in_a_fresh_clone(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "flows", tmp_path / "flows")
    environment = {key: value for key, value in os.environ.items() if key != "PREFECT_HOME"}
    subprocess.run([sys.executable, "-c", "import flows"], cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / ".cache" / "prefect").is_dir()
