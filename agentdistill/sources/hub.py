"""Rows of a dataset of the Hugging Face hub, at a revision that is resolved and recorded, or of a snapshot of one.

A revision that is not given is resolved to the commit it means now before anything is downloaded, so that all files
come from one commit and the same commit can be asked for again. Where `HF_ENDPOINT` is set the library beneath takes
the hub from there.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentdistill.errors import DataError


@dataclass(frozen=True)
class HubRows:
    """Rows and the commit that they come from; None for a snapshot folder, which does not know its commit."""

    rows: Collection[dict[str, Any]]
    revision: str | None


def load_hub(
    dataset: str, *, subset: str | None, split: str, revision: str | None, snapshot: Path | None = None
) -> HubRows:
    """Load one split of a dataset.

    Args:
        dataset: repository, `owner/name`.
        subset: the dataset's configuration, None for its default one.
        split: the split's name in the repository.
        revision: commit, branch or tag; None for the default branch.
        snapshot: folder with a copy of the repository, used instead of the hub and without any network.

    Raises:
        DataError: no such dataset, subset, split or revision; hub unreachable; broken or partial files.
    """

    if snapshot is not None:
        if not snapshot.is_dir():
            raise DataError(f"The snapshot {snapshot} of {dataset} is not a folder. Correct it or set it to null.")
        # The library knows a folder's files by their times, which a copy keeps, and would give the rows of before.
        shown = f"{dataset} (snapshot {snapshot})"
        return HubRows(_load(str(snapshot), subset, split, None, shown=shown, mode="force_redownload"), None)
    commit = _resolve(dataset, revision)
    return HubRows(_load(dataset, subset, split, commit, shown=f"{dataset} at {commit[:12]}"), commit)


def _resolve(dataset: str, revision: str | None) -> str:
    """Return the commit that `revision` means now."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        commit = HfApi().dataset_info(dataset, revision=revision).sha
    except RepositoryNotFoundError as error:
        raise DataError(
            f"The hub has no public dataset {dataset!r}. Correct its name, or log in if it is private."
        ) from error
    except RevisionNotFoundError as error:
        raise DataError(f"Dataset {dataset!r} has no revision {revision!r}. Name a commit, branch or tag.") from error
    except HFValidationError as error:
        raise DataError(f"{dataset!r} is not the name of a dataset; it should read owner/name.") from error
    except Exception as error:  # of whichever HTTP library is beneath, or no network at all
        raise DataError(
            f"The hub could not be reached for {dataset!r}: {_reason(error)}. Check the network, or set snapshot to a "
            "local copy of the repository."
        ) from error
    if commit is None:
        raise DataError(f"The hub did not say which commit {revision!r} of {dataset!r} is. Give a commit.")
    return commit


def _load(
    path: str, subset: str | None, split: str, revision: str | None, *, shown: str, mode: str | None = None
) -> Any:
    import datasets

    try:
        loaded = datasets.load_dataset(path, subset, split=split, revision=revision, download_mode=mode)
    except Exception as error:  # the library raises a score of kinds: names, network, broken and partial files
        raise DataError(
            f"Could not load split {split!r}, subset {subset!r} of {shown}: {_reason(error)}. Correct the names; "
            "if the download broke off, run the stage again or set snapshot to a local copy of the repository."
        ) from error
    # When the hub fails half-way, the library falls back on whatever commit its cache holds.
    if revision is not None and not all(revision in file["filename"] for file in loaded.cache_files):
        raise DataError(
            f"The hub could not be reached for {shown}, and its cache holds another commit. Check the network, give "
            "the cached commit as revision, or set snapshot to a local copy of the repository."
        )
    return loaded


def _reason(error: BaseException) -> str:
    """Return what went wrong first, in one line, since the libraries beneath wrap the reason several times."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__).rstrip(".")
