"""A model of the hub, from a stub hub on loopback: what is fetched is what can be loaded."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sources.stub_hub import Repository, serve

ROOT = Path(__file__).parents[2]
STUDENT = ROOT / "models" / "embedded" / "student"
SHA = "0123456789abcdef0123456789abcdef01234567"
FETCH = """
import sys
from transformers import AutoModelForCausalLM
from agentdistill.models.weights import find_model
folder = find_model(sys.argv[1])
print(AutoModelForCausalLM.from_pretrained(folder).num_parameters())
print(*sorted(path.name for path in folder.iterdir()))
"""


@pytest.mark.slow
def test_a_model_in_several_files_is_fetched_whole_and_no_weight_twice(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(STUDENT)
    model.save_pretrained(tmp_path / "sharded", max_shard_size="2MB")
    files = {path.name: path.read_bytes() for path in (tmp_path / "sharded").iterdir()}
    assert "model.safetensors.index.json" in files
    others = {"consolidated.safetensors": b"again", "pytorch_model.bin": b"again", "README.md": b"words"}
    with serve({"somebody/sharded": Repository(SHA, files | others)}) as endpoint:
        environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "home")}
        command = [sys.executable, "-c", FETCH, "somebody/sharded"]
        ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    parameters, names = ran.stdout.splitlines()
    assert int(parameters) == model.num_parameters()
    assert set(names.split()) == set(files)
