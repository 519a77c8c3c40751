"""Packages that only some uses of the engine need, imported on first use."""

from importlib import import_module
from types import ModuleType

from slipstream_engine.errors import MissingExtraError


def import_optional(module: str, *, extra: str) -> ModuleType:
    """Import `module`, which comes with an extra of the distribution.

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


def require_model_packages() -> None:
    """Import what every model needs: torch, einops, safetensors.

    Raises:
        MissingExtraError: if one is not installed.
    """
    for module in ("torch", "einops", "safetensors"):
        import_optional(module, extra="engine")
