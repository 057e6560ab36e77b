"""Rebuild or examine the embedded models.

python -m tasks.embedded_models                          # both at once, a core each; 80 minutes where there is AMX
python -m tasks.embedded_models --role teacher --smoke   # a few minutes, to see that it runs; below .cache
python -m tasks.embedded_models --role student --second  # its second run only, from the weights that are there
python -m tasks.embedded_models --gates models/embedded/teacher
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Literal

Role = Literal["teacher", "student"]
WORLD_SEED = 7
SEED = 1
TOKENS: dict[Role, int] = {"teacher": 21_000_000, "student": 32_000_000}
SECOND_TOKENS: dict[Role, int] = {"student": 3_000_000}  # of a second run, with the words of agents' turns
SMOKE_TOKENS = 150_000
TOKENIZER_SAMPLE = 6000  # documents of each role that the tokenizer is trained on
OUT = Path("models/embedded")
WORK = Path(".cache/embedded-models")


def folders(arguments: argparse.Namespace) -> tuple[Path, Path]:
    """Where models and checkpoints go. Those of a trial have a place of their own: it must not replace the models that
    are shipped."""
    if arguments.smoke:
        trial = WORK / "smoke"
    elif arguments.tokens:
        trial = WORK / f"{arguments.tokens}-tokens"
    else:
        return arguments.out or OUT, arguments.work or WORK
    return arguments.out or trial / "models", arguments.work or trial / "checkpoints"


def pretrain(role: Role, tokens: int, out: Path, work: Path, *, second: bool) -> None:
    """Train one model and save it under `out/<role>`; a second run goes on from the weights saved there."""
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
            sample += [d.text for d in islice(Mixture(reader, world, SEED).documents("main"), TOKENIZER_SAMPLE)]
        tokenizer = train_tokenizer(sample)
    seed = SEED + second
    model, progress = train(
        role,
        Mixture(role, world, seed),
        tokenizer,
        seed=seed,
        budget=tokens,
        folder=work / (f"{role}-second" if second else role),
        checkpoint_seconds=180,
        start=out / role if second else None,
    )
    save(model, tokenizer, out / role)
    (out / role / "training.json").write_text(json.dumps(vars(progress), indent=2) + "\n")


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--role", choices=("teacher", "student"), help="train only this one, in this process")
    parser.add_argument(
        "--second", action="store_true", help="only the second run of --role, from the weights in --out"
    )
    parser.add_argument("--tokens", type=int, help="token budget of each run instead of the shipped one")
    parser.add_argument("--smoke", action="store_true", help=f"train on {SMOKE_TOKENS} tokens only")
    parser.add_argument("--out", type=Path, help=f"where the models go: {OUT}, with another budget below {WORK}")
    parser.add_argument("--work", type=Path, help=f"where checkpoints go: {WORK}, with another budget a folder there")
    parser.add_argument("--gates", type=Path, metavar="MODEL", help="examine this model on validation questions")
    arguments = parser.parse_args(argv)
    if arguments.second and arguments.role not in SECOND_TOKENS:
        parser.error(f"--second needs a --role that has a second run: {', '.join(SECOND_TOKENS)}")
    arguments.out, arguments.work = folders(arguments)
    if arguments.second and not (arguments.out / arguments.role / "config.json").exists():
        parser.error(
            f"--second goes on from weights, and {arguments.out / arguments.role} has none: name them by --out"
        )
    return arguments


def main() -> None:
    arguments = parse()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stdout)
    if arguments.gates:
        from agentdistill.world import build
        from tasks.embedded_gates import examine, table
        from tasks.stage import load_params

        print(table(asyncio.run(examine(arguments.gates, build(WORLD_SEED), load_params()))))
        return
    if arguments.role:
        chosen = SMOKE_TOKENS if arguments.smoke else arguments.tokens
        role, out, work = arguments.role, arguments.out, arguments.work
        if not arguments.second:
            pretrain(role, chosen or TOKENS[role], out, work, second=False)
        if role in SECOND_TOKENS:
            pretrain(role, chosen or SECOND_TOKENS[role], out, work, second=True)
        return
    running = [
        subprocess.Popen([sys.executable, "-m", "tasks.embedded_models", "--role", role, *sys.argv[1:]])
        for role in TOKENS
    ]
    codes = [process.wait() for process in running]
    sys.exit(max(abs(code) for code in codes))


if __name__ == "__main__":
    main()
