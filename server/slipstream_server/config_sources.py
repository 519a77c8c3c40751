"""Where settings come from: flags, the environment, a TOML file, defaults; the first one wins."""

import argparse
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from slipstream_server.config import ServerConfig, secret_settings
from slipstream_server.errors import ConfigError
from slipstream_server.secret_file import FILE_SUFFIX, with_secrets_read

ENVIRONMENT_PREFIX = "SLIPSTREAM_"
_PROVIDER_SETTINGS = (  # in the environment also as the providers name them
    "cloudflare_turn_key_id",
    "cloudflare_turn_api_token",
    "twilio_account_sid",
    "twilio_auth_token",
)


def read_config(argv: Sequence[str], environment: Mapping[str, str]) -> ServerConfig:
    """The settings in force.

    Args:
        argv: the command line after the program's name.
        environment: of the process; SLIPSTREAM_* variables are read.

    Raises:
        ConfigError: if a value is not allowed, the file cannot be read, or a key is unknown.
        SystemExit: by argparse, for --help and for unknown flags.
    """
    arguments = vars(_parser().parse_args(argv))
    flags = {name: text for name, text in arguments.items() if text is not None}
    path = flags.pop("config", None) or environment.get(ENVIRONMENT_PREFIX + "CONFIG")
    values: dict[str, Any] = {}
    if path:
        values |= _from_file(Path(path))
    for prefix, names in (("", _PROVIDER_SETTINGS), (ENVIRONMENT_PREFIX, tuple(_types()))):
        values |= _from_texts(
            {
                name: (environment[variable], variable)
                for name in (*names, *_file_settings(names))
                if (variable := prefix + name.upper()) in environment
            }
        )
    values |= _from_texts({name: (text, _flag(name)) for name, text in flags.items()})
    return ServerConfig(**values)


def _types() -> dict[str, Any]:
    hints = get_type_hints(ServerConfig)
    return {setting.name: hints[setting.name] for setting in fields(ServerConfig)}


def _file_settings(names: Iterable[str]) -> list[str]:
    """What the files of those settings that are secret are named by."""
    return [name + FILE_SUFFIX for name in names if name in secret_settings()]


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="slipstream",
        description="Serve live video diffusion over WebRTC. "
        "`slipstream doctor` with the same flags checks what that needs; "
        "`slipstream probe URL` calls a server and measures.",
        epilog="Flags may also stand in the environment (SLIPSTREAM_PORT) or in the file (port).",
    )
    parser.add_argument("--config", metavar="FILE", help="TOML file with settings")
    types = _types()
    for setting in fields(ServerConfig):
        is_switch = types[setting.name] is bool
        parser.add_argument(
            _flag(setting.name),
            nargs="?" if is_switch else None,
            const="true" if is_switch else None,
            dest=setting.name,
            metavar=setting.name.rsplit("_", 1)[-1].upper(),
            help=f"{setting.metadata['help']} (default: {setting.default!r})".replace("%", "%%"),
        )
    for name in secret_settings():
        parser.add_argument(
            _flag(name + FILE_SUFFIX), metavar="FILE", help=f"file that holds {_flag(name)}"
        )
    return parser


def _from_texts(texts: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    return _with_secrets_read(
        {name: _convert(name, text, source, strict=False) for name, (text, source) in texts.items()}
    )


def _with_secrets_read(values: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return with_secrets_read(values, secret_settings())
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _from_file(path: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"config file {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"config file {path} is not TOML: {error}") from error
    known = [*_types(), *_file_settings(_types())]
    unknown = sorted(set(content) - set(known))
    if unknown:
        raise ConfigError(
            f"config file {path} has unknown keys {', '.join(unknown)}; "
            f"known are {', '.join(known)}"
        )
    return _with_secrets_read(
        {name: _convert(name, value, str(path), strict=True) for name, value in content.items()}
    )


def _convert(name: str, value: Any, source: str, *, strict: bool) -> Any:
    kind = _types().get(name, str)  # paths of secrets' files are text
    try:
        return msgspec.convert(value, kind, strict=strict)
    except msgspec.ValidationError as error:
        shown = "of another type" if name in secret_settings() else repr(value)
        raise ConfigError(
            f"{name} is {shown} (from {source}), it must be {kind.__name__}"
        ) from error
