"""The data stage: clips as a camera gives them, each with what the teachers make of it.

On disk, in one folder: `inputs.npy` uint8 `[N, T, H, W, 3]`, `targets.npy` uint8 `[N, K, T, H, W,
3]`, `styles.npy` and `tints.npy` int64 `[N, K]` (numbers in `names` and `colours.TINTS`), and
`manifest.json`, written last.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slipstream_engine.train.colours import AS_IT_COMES, COLOURS, TINTS, tint
from slipstream_engine.train.scenes import Clip, Footage, Size, footage, scene, sensor
from slipstream_engine.train.sources import TRAINING, PictureSource
from slipstream_engine.train.styles import IDENTITY, STYLES

NAMES: tuple[str, ...] = (IDENTITY, *STYLES)
CLIP_FRAMES = 13  # a first chunk of five and two more of four


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """How much to make; `targets` pictures of each clip, the last one in some colour."""

    clips: int = 320
    targets: int = 4
    width_px: int = 256
    height_px: int = 192
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Clips and targets, mapped from disk; see the module for shapes."""

    inputs: NDArray[np.uint8]
    targets: NDArray[np.uint8]
    styles: NDArray[np.int64]
    tints: NDArray[np.int64]
    names: tuple[str, ...]


def stylise(clip: Clip, name: str, colour: str = AS_IT_COMES) -> Clip:
    """`clip` `[T, H, W, 3]` in style `name`, tinted if a colour is given."""
    styled = clip if name == IDENTITY else np.stack([STYLES[name](frame) for frame in clip])
    return styled if colour == AS_IT_COMES else np.stack([tint(frame, colour) for frame in styled])


def to_bytes(clip: Clip) -> NDArray[np.uint8]:
    return np.asarray(np.rint(np.clip(clip, 0, 1) * 255), np.uint8)


def _manifest(config: DataConfig, sources: Sequence[PictureSource]) -> dict[str, object]:
    return {
        "config": asdict(config),
        "names": list(NAMES),
        "tints": {name: list(colour) for name, colour in COLOURS.items()},
        "sources": [asdict(source) | {"focus": None} for source in sources],
    }


def _deal(config: DataConfig, rng: np.random.Generator) -> NDArray[np.int64]:
    """Which styles each clip gets: no style twice in a clip, all equally often."""
    hands: list[list[int]] = []
    deck: list[int] = []
    for _ in range(config.clips):
        hand: list[int] = []
        while len(hand) < config.targets:
            if not deck:
                deck = [int(k) for k in rng.permutation(len(NAMES))]
            fresh = next((k for k in deck if k not in hand), None)
            if fresh is None:
                deck += [int(k) for k in rng.permutation(len(NAMES))]
                continue
            deck.remove(fresh)
            hand.append(fresh)
        hands.append(hand)
    return np.array(hands, np.int64)


def build(folder: Path, config: DataConfig, sources: Sequence[PictureSource] = TRAINING) -> None:
    """Make the data in `folder`, unless it is there already.

    Raises:
        SourceError: if a package with pictures is missing or another version.
    """
    manifest = _manifest(config, sources)
    done = folder / "manifest.json"
    if done.is_file() and json.loads(done.read_text()) == json.loads(json.dumps(manifest)):
        print(f"data: {config.clips} clips are already in {folder}", flush=True)
        return
    material = footage(sources)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    _fill(folder, config, material)
    done.write_text(json.dumps(manifest, indent=1))


def _fill(folder: Path, config: DataConfig, material: Sequence[Footage]) -> None:
    shape = (CLIP_FRAMES, config.height_px, config.width_px, 3)
    size = Size(frames=CLIP_FRAMES, width_px=config.width_px, height_px=config.height_px)
    styles = _deal(config, np.random.default_rng([config.seed, 1]))
    tints = np.zeros_like(styles)
    tints[:, -1] = 1 + np.arange(config.clips) % len(COLOURS)
    styles[:: len(COLOURS) // 2, -1] = 0  # users ask most often for a colour alone
    inputs = _create(folder / "inputs.npy", (config.clips, *shape))
    targets = _create(folder / "targets.npy", (config.clips, config.targets, *shape))
    for n in range(config.clips):
        rng = np.random.default_rng([config.seed, 2, n])
        clip = scene(material, size, rng)
        inputs[n] = to_bytes(sensor(clip, rng))
        for k, (style, colour) in enumerate(zip(styles[n], tints[n], strict=True)):
            targets[n, k] = to_bytes(stylise(clip, NAMES[style], TINTS[colour]))
        if (n + 1) % 40 == 0 or n + 1 == config.clips:
            print(f"data: {n + 1}/{config.clips} clips", flush=True)
    inputs.flush()
    targets.flush()
    np.save(folder / "styles.npy", styles)
    np.save(folder / "tints.npy", tints)


def _create(path: Path, shape: tuple[int, ...]) -> np.memmap[tuple[int, ...], np.dtype[np.uint8]]:
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)


def load_dataset(folder: Path) -> Dataset:
    """Load what `build` wrote.

    Raises:
        FileNotFoundError: if there is no complete data in `folder`.
    """
    done = folder / "manifest.json"
    if not done.is_file():
        raise FileNotFoundError(f"{folder} holds no finished data, run train-tiny --stage data")
    return Dataset(
        inputs=np.load(folder / "inputs.npy", mmap_mode="r"),
        targets=np.load(folder / "targets.npy", mmap_mode="r"),
        styles=np.load(folder / "styles.npy"),
        tints=np.load(folder / "tints.npy"),
        names=tuple(json.loads(done.read_text())["names"]),
    )
