"""Packages that only some uses of the engine need, imported when they are."""

from importlib import import_module
from types import ModuleType

from slipstream_engine.errors import MissingExtraError


def optional(module: str, *, extra: str) -> ModuleType:
    """Import `module`.

    Raises:
        MissingExtraError: if it is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"the package {module} is not installed, install it with: "
            f"pip install 'slipstream[{extra}]'"
        ) from error
