"""Fetch what the real presets need, check it, and keep it in the form that loads fastest.

Each file is fetched (resuming where an earlier try broke off), compared by its header with the
model it is for, written once as safetensors, and only then stands under its final name.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from slipstream_engine.atomic_file import atomic_write
from slipstream_engine.checkpoints.loader import check_checkpoint
from slipstream_engine.checkpoints.safetensors_writer import write_safetensors
from slipstream_engine.errors import CheckpointError, MissingExtraError
from slipstream_engine.optional_packages import import_optional
from slipstream_engine.weights.registry import BUNDLES, DEFAULT_WEIGHTS, Artifact

DOWNLOADS = "downloads"


class FetchError(Exception):
    """A file cannot be had from where it was looked for; the text says why."""


class WeightSource(Protocol):
    """Where files come from."""

    def fetch(self, artifact: Artifact) -> Path:
        """The file, on this machine.

        Raises:
            FetchError: if it cannot be had.
        """
        ...

    def drop(self, artifact: Artifact) -> None:
        """What was fetched is of no more use."""
        ...


class HubSource:
    """The Hugging Face hub, with progress and resume.

    Args:
        downloads: a folder for files on their way.

    Raises:
        MissingExtraError: if huggingface-hub is not installed.
    """

    def __init__(self, downloads: Path) -> None:
        self._downloads = downloads
        self._hub = import_optional("huggingface_hub", extra="pull")
        # its HTTP library's root error: which library that is depends on the hub's version
        errors = import_optional("huggingface_hub.errors", extra="pull")
        self._transport_error: type[Exception] = errors.HfHubHTTPError.__bases__[0]

    def fetch(self, artifact: Artifact) -> Path:
        try:
            return Path(
                self._hub.hf_hub_download(
                    artifact.repo, str(artifact.path), local_dir=self._folder(artifact)
                )
            )
        except (OSError, ValueError, self._transport_error) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
            raise FetchError(f"{artifact.path} of {artifact.repo}: {reason}") from error

    def drop(self, artifact: Artifact) -> None:
        shutil.rmtree(self._folder(artifact))

    def _folder(self, artifact: Artifact) -> Path:
        return self._downloads / artifact.file


class FolderSource:
    """A folder that stands in for the hub: whatever its layout, a file is known by its path's end.

    Args:
        root: e.g. a copy of the hub's repositories or of its cache.

    Raises:
        FetchError: if it is not a folder.
    """

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise FetchError(f"{root} is not a folder")
        self._root = root

    def fetch(self, artifact: Artifact) -> Path:
        ending = artifact.path.parts
        found = [
            path
            for path in self._root.rglob(artifact.path.name)
            if path.parts[-len(ending) :] == ending and path.is_file()
        ]
        flat = self._root / artifact.path.name
        if not found and flat.is_file():
            return flat
        if not found:
            raise FetchError(f"no {artifact.path} anywhere under {self._root}")
        own_repo = artifact.repo.rpartition("/")[2]
        return min(found, key=lambda path: (own_repo not in str(path), len(path.parts), path))

    def drop(self, artifact: Artifact) -> None:
        """Another's folder stays as it is."""


def pull(bundle: Sequence[Artifact], weights: Path, source: WeightSource) -> None:
    """Bring every file of `bundle` into the folder `weights`; those that are there and whole stay.

    Raises:
        FetchError: if a file cannot be had.
        CheckpointError: if what arrived is not what it should be.
        OSError: if the disk is full.
    """
    weights.mkdir(parents=True, exist_ok=True)
    for artifact in bundle:
        target = weights / artifact.file
        if is_whole(artifact, weights):
            _say(f"{target} is there")
            continue
        _say(f"{target}: fetching {artifact.path} of {artifact.repo}")
        try:
            _keep(artifact, source.fetch(artifact), target)
        except CheckpointError:
            source.drop(artifact)  # or the next try would find the same again
            raise
        source.drop(artifact)
        _say(f"{target} is ready")


def is_whole(artifact: Artifact, weights: Path) -> bool:
    """Whether the folder has the file and its header is that of the model it is for."""
    target = weights / artifact.file
    if not target.is_file():
        return False
    try:
        if artifact.build is None:
            _check_json(target)
        else:
            check_checkpoint(artifact.build, target, surplus=artifact.surplus)
    except CheckpointError as error:
        _say(f"{error}\n{target} will be replaced")
        return False
    return True


def _keep(artifact: Artifact, fetched: Path, target: Path) -> None:
    """Check what arrived and write it to its final place."""
    if artifact.build is None:
        _check_json(fetched)
        with fetched.open("rb") as original, atomic_write(target) as copy:
            shutil.copyfileobj(original, copy)
    else:
        checkpoint = check_checkpoint(artifact.build, fetched, surplus=artifact.surplus)
        write_safetensors(checkpoint, target, dtype=artifact.dtype, progress=_Percent(target))


class _Percent:
    """Says every tenth of a file written."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._tenths = 0

    def __call__(self, done_bytes: int, total_bytes: int) -> None:
        tenths = 10 * done_bytes // total_bytes
        if tenths > self._tenths:
            self._tenths = tenths
            _say(f"{self._target}: {10 * tenths} % of {total_bytes / 1e9:.2f} GB written")


def _check_json(file: Path) -> None:
    try:
        json.loads(file.read_text())
    except ValueError as error:
        raise CheckpointError(f"{file} is truncated or not JSON, pull it again: {error}") from error


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def by_hand(name: str, weights: Path) -> str:
    """What to do where the hub cannot be reached."""
    absent = [artifact for artifact in BUNDLES[name] if not (weights / artifact.file).is_file()]
    fetches = "\n".join(
        f"  hf download {artifact.repo} {artifact.path} --local-dir DIR/{artifact.repo}"
        for artifact in absent
    )
    return (
        f"where the hub can be reached, fetch into one folder DIR:\n{fetches}\n"
        f"bring DIR here and run:\n"
        f"  slipstream-engine pull {name} --from DIR --weights {weights}"
    )


def add_pull(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the engine's command line."""
    parser = commands.add_parser("pull", help="download, check and convert pretrained weights")
    parser.add_argument("bundle", choices=sorted(BUNDLES), help="preset or codec to download")
    parser.add_argument(
        "--from",
        dest="folder",
        type=Path,
        metavar="DIR",
        help="read the files from a folder instead of the hub",
    )
    parser.add_argument(
        "--weights",
        type=Path,
        default=DEFAULT_WEIGHTS,
        metavar="DIR",
        help="folder to write to (default: %(default)s)",
    )
    parser.set_defaults(run=run_pull)


def run_pull(arguments: argparse.Namespace) -> int:
    """Pull a bundle; 1 and a reason on standard error where that is not possible."""
    weights = arguments.weights.expanduser()
    try:
        source = (
            FolderSource(arguments.folder) if arguments.folder else HubSource(weights / DOWNLOADS)
        )
        pull(BUNDLES[arguments.bundle], weights, source)
    except FetchError as error:
        _say(f"{arguments.bundle} cannot be pulled: {error}\n{by_hand(arguments.bundle, weights)}")
        return 1
    except (CheckpointError, MissingExtraError, OSError) as error:
        _say(f"{arguments.bundle} cannot be pulled: {error}")
        return 1
    return 0
