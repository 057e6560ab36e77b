"""Rebuild or examine the embedded models.

python -m tasks.embedded_models                          # both at once, a process each; about 70 minutes on two cores
python -m tasks.embedded_models --role teacher --smoke   # a few minutes, to see that it runs
python -m tasks.embedded_models --gates models/embedded/teacher
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Literal

Role = Literal["teacher", "student"]
WORLD_SEED = 7
SEED = 1
TOKENS: dict[Role, int] = {"teacher": 21_000_000, "student": 32_000_000}
SMOKE_TOKENS = 150_000
TOKENIZER_SAMPLE = 6000  # documents of each role that the tokenizer is trained on
OUT = Path("models/embedded")
WORK = Path(".cache/embedded-models")


def pretrain(role: Role, tokens: int, out: Path, work: Path) -> None:
    """Train one model and save it under `out/<role>`."""
    import torch

    from agentdistill.world import build
    from agentdistill.world.pretraining.mixture import Mixture
    from agentdistill.world.pretraining.tokenizer import load_tokenizer, train_tokenizer
    from agentdistill.world.pretraining.training import save, train

    torch.set_num_threads(1)
    world = build(WORLD_SEED)
    tokenizer = load_tokenizer(out / role)
    if tokenizer is None:
        sample = [p.text for p in world.passages]
        for reader in TOKENS:
            sample += [d.text for d in islice(Mixture(reader, world, SEED).documents(False), TOKENIZER_SAMPLE)]
        tokenizer = train_tokenizer(sample)
    model, progress = train(
        role,
        Mixture(role, world, SEED),
        tokenizer,
        seed=SEED,
        budget=tokens,
        folder=work / role,
        checkpoint_seconds=180,
    )
    save(model, tokenizer, out / role)
    (out / role / "training.json").write_text(json.dumps(vars(progress), indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--role", choices=("teacher", "student"), help="train only this one, in this process")
    parser.add_argument("--tokens", type=int, help="token budget instead of the shipped one")
    parser.add_argument("--smoke", action="store_true", help=f"train on {SMOKE_TOKENS} tokens only")
    parser.add_argument("--out", type=Path, default=OUT, help="where the models go")
    parser.add_argument("--work", type=Path, default=WORK, help="where checkpoints go")
    parser.add_argument("--gates", type=Path, metavar="MODEL", help="examine this model on validation questions")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stdout)
    if arguments.gates:
        from agentdistill.world import build
        from tasks.embedded_gates import examine, table
        from tasks.stage import load_params

        print(table(asyncio.run(examine(arguments.gates, build(WORLD_SEED), load_params()))))
        return
    if arguments.role:
        tokens = SMOKE_TOKENS if arguments.smoke else arguments.tokens or TOKENS[arguments.role]
        pretrain(arguments.role, tokens, arguments.out, arguments.work)
        return
    running = [
        subprocess.Popen([sys.executable, "-m", "tasks.embedded_models", "--role", role, *sys.argv[1:]])
        for role in TOKENS
    ]
    codes = [process.wait() for process in running]
    sys.exit(max(abs(code) for code in codes))


if __name__ == "__main__":
    main()
