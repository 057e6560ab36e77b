"""Rebuild or examine the embedded models.

python -m tasks.embedded_models                          # both at once, a core each; some two hours
python -m tasks.embedded_models --role teacher --smoke   # a few minutes, to see that it runs; below .cache
python -m tasks.embedded_models --role student --run 2   # its second run only, from the weights that are there
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

from agentdistill.world.pretraining.mixture import Role, Stretch

WORLD_SEED = 7
SEED = 1
WARM_UP: Stretch = ("warm-up", 1_000_000)
READING_STEPS: tuple[Stretch, ...] = (("near", 700_000), ("far", 700_000), ("lists", 700_000))
RUNS: dict[Role, tuple[tuple[Stretch, ...], ...]] = {
    "teacher": ((WARM_UP, ("main", 20_000_000)), (*READING_STEPS, ("matching", 2_000_000), ("settling", 7_500_000))),
    "student": ((WARM_UP, ("main", 31_000_000)), (*READING_STEPS, ("matching", 2_500_000), ("settling", 9_000_000))),
}
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


def shortened(stretches: Sequence[Stretch], tokens: int) -> tuple[Stretch, ...]:
    """`stretches` in the same proportions, of `tokens` tokens together."""
    whole = sum(length for _, length in stretches)
    return tuple((phase, length * tokens // whole) for phase, length in stretches)


def pretrain(role: Role, number: int, stretches: Sequence[Stretch], out: Path, work: Path) -> None:
    """Make run `number` of a model, 1 being the first, and save it under `out/<role>`; from the second on a run goes on
    from the weights saved there."""
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
        for reader in RUNS:
            sample += [d.text for d in islice(Mixture(reader, world, SEED).documents("main"), TOKENIZER_SAMPLE)]
        tokenizer = train_tokenizer(sample)
    seed = SEED + number - 1
    model, progress = train(
        role,
        Mixture(role, world, seed),
        tokenizer,
        seed=seed,
        stretches=stretches,
        folder=work / f"{role}-{number}",
        checkpoint_seconds=180,
        start=out / role if number > 1 else None,
    )
    save(model, tokenizer, out / role)
    (out / role / "training.json").write_text(json.dumps(vars(progress), indent=2) + "\n")


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--role", choices=("teacher", "student"), help="train only this one, in this process")
    parser.add_argument(
        "--run", type=int, metavar="N", help="only run N of --role; from 2 on from the weights in --out"
    )
    parser.add_argument("--tokens", type=int, help="token budget of each run instead of the shipped one")
    parser.add_argument("--smoke", action="store_true", help=f"train on {SMOKE_TOKENS} tokens only")
    parser.add_argument("--out", type=Path, help=f"where the models go: {OUT}, with another budget below {WORK}")
    parser.add_argument("--work", type=Path, help=f"where checkpoints go: {WORK}, with another budget a folder there")
    parser.add_argument("--gates", type=Path, metavar="MODEL", help="examine this model on validation questions")
    arguments = parser.parse_args(argv)
    arguments.out, arguments.work = folders(arguments)
    if arguments.run is not None:
        _check_run(parser, arguments)
    return arguments


def _check_run(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Refuse a run that the role does not have, or one that has nothing to go on from."""
    if arguments.role is None:
        parser.error("--run needs the --role whose run it is")
    runs = len(RUNS[arguments.role])
    if not 1 <= arguments.run <= runs:
        parser.error(f"--run is {arguments.run}, and the {arguments.role} has runs 1 to {runs}")
    if arguments.run > 1 and not (arguments.out / arguments.role / "config.json").exists():
        place = arguments.out / arguments.role
        parser.error(f"--run {arguments.run} goes on from weights, and {place} has none: name them by --out")


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
        for number, stretches in enumerate(RUNS[arguments.role], 1):
            if arguments.run in (None, number):
                read = shortened(stretches, chosen) if chosen else stretches
                pretrain(arguments.role, number, read, arguments.out, arguments.work)
        return
    running = [
        subprocess.Popen([sys.executable, "-m", "tasks.embedded_models", "--role", role, *sys.argv[1:]])
        for role in RUNS
    ]
    codes = [process.wait() for process in running]
    sys.exit(max(abs(code) for code in codes))


if __name__ == "__main__":
    main()
