"""`slipstream-engine pull`: downloads the files of real presets and converts them to safetensors.

Each file is downloaded (an interrupted download is resumed), its header compared with the model it
is for, and converted; only then does it get its final name.
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
    """A source cannot provide a file; the text says why."""


class WeightSource(Protocol):
    """Where files come from: the hub or a folder."""

    def fetch(self, artifact: Artifact) -> Path:
        """Make the file available on this machine, and return its path.

        Raises:
            FetchError: if that is not possible.
        """
        ...

    def discard(self, artifact: Artifact) -> None:
        """Delete the fetched file, if this source created it."""
        ...


class HubSource:
    """The Hugging Face hub, with progress and resume.

    Args:
        downloads: a folder for incomplete and unconverted files.

    Raises:
        MissingExtraError: if huggingface-hub is not installed.
    """

    def __init__(self, downloads: Path) -> None:
        self._downloads = downloads
        self._hub = import_optional("huggingface_hub", extra="pull")
        # the base error of its HTTP library, which differs between versions of the hub package
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

    def discard(self, artifact: Artifact) -> None:
        shutil.rmtree(self._folder(artifact))

    def _folder(self, artifact: Artifact) -> Path:
        return self._downloads / artifact.file


class FolderSource:
    """A local folder of any layout; a file is found by the end of its path.

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

    def discard(self, artifact: Artifact) -> None:
        """Nothing to do: the folder belongs to the user."""


def pull(bundle: Sequence[Artifact], weights: Path, source: WeightSource) -> None:
    """Bring every file of `bundle` into the folder `weights`; intact files are left as they are.

    Raises:
        FetchError: if the source cannot provide a file.
        CheckpointError: if a fetched file is damaged or of another model.
        OSError: if the disk is full.
    """
    weights.mkdir(parents=True, exist_ok=True)
    for artifact in bundle:
        target = weights / artifact.file
        if is_intact(artifact, weights):
            _print(f"{target} is there")
            continue
        _print(f"{target}: fetching {artifact.path} of {artifact.repo}")
        try:
            _convert(artifact, source.fetch(artifact), target)
        except CheckpointError:
            source.discard(artifact)  # so that the next try downloads it again
            raise
        source.discard(artifact)
        _print(f"{target} is ready")


def is_intact(artifact: Artifact, weights: Path) -> bool:
    """Whether the folder has the file, with the header of the model it is for."""
    target = weights / artifact.file
    if not target.is_file():
        return False
    try:
        if artifact.build is None:
            _check_json(target)
        else:
            check_checkpoint(artifact.build, target, surplus=artifact.surplus)
    except CheckpointError as error:
        _print(f"{error}\n{target} will be replaced")
        return False
    return True


def _convert(artifact: Artifact, fetched: Path, target: Path) -> None:
    """Check a fetched file and write it under its final name."""
    if artifact.build is None:
        _check_json(fetched)
        with fetched.open("rb") as original, atomic_write(target) as copy:
            shutil.copyfileobj(original, copy)
    else:
        checkpoint = check_checkpoint(artifact.build, fetched, surplus=artifact.surplus)
        _print(f"{fetched}: {checkpoint.form}")
        write_safetensors(checkpoint, target, dtype=artifact.dtype, progress=_WriteProgress(target))


class _WriteProgress:
    """Prints a line for every tenth of a file."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._tenths = 0

    def __call__(self, done_bytes: int, total_bytes: int) -> None:
        tenths = 10 * done_bytes // total_bytes
        if tenths > self._tenths:
            self._tenths = tenths
            _print(f"{self._target}: {10 * tenths} % of {total_bytes / 1e9:.2f} GB written")


def _check_json(file: Path) -> None:
    try:
        json.loads(file.read_text())
    except ValueError as error:
        raise CheckpointError(f"{file} is truncated or not JSON, pull it again: {error}") from error


def _print(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def offline_instructions(name: str, weights: Path) -> str:
    """How to pull on a machine that cannot reach the hub."""
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
        help_text = offline_instructions(arguments.bundle, weights)
        _print(f"{arguments.bundle} cannot be pulled: {error}\n{help_text}")
        return 1
    except (CheckpointError, MissingExtraError, OSError) as error:
        _print(f"{arguments.bundle} cannot be pulled: {error}")
        return 1
    return 0
