"""Where settings come from, and what becomes of bad ones."""

from pathlib import Path

import pytest
from slipstream_server.config import ServerConfig, secret_settings
from slipstream_server.config_sources import read_config
from slipstream_server.errors import ConfigError


def test_flags_beat_environment_beats_file_beats_defaults(tmp_path: Path) -> None:
    """each source is asked only for what the one before it does not say."""
    file = tmp_path / "s.toml"
    file.write_text('port = 1001\nmax_streams = 5\npreset = "file"\n')
    environment = {"SLIPSTREAM_PORT": "1002", "SLIPSTREAM_PRESET": "environment", "HOME": "/x"}
    config = read_config(["--config", str(file), "--port", "1003"], environment)
    assert (config.port, config.preset, config.max_streams) == (1003, "environment", 5)
    assert config.age_ms_target == 1000.0


def test_the_file_may_be_named_by_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text("port = 1001\n")
    assert read_config([], {"SLIPSTREAM_CONFIG": str(file)}).port == 1001


def test_a_zero_is_a_value() -> None:
    """port 0 and no viewers are asked for, not left out."""
    config = read_config(["--port", "0", "--max-viewers", "0"], {})
    assert (config.port, config.max_viewers) == (0, 0)


def test_a_switch_needs_no_value() -> None:
    """its flag alone turns it on; with a value it may be off as well."""
    config = read_config(["--mute", "--record-input", "--port", "1001", "--smooth", "false"], {})
    assert (config.mute, config.record_input, config.smooth, config.port) == (
        True,
        True,
        False,
        1001,
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("port = ", "is not TOML"),
        ("colour = 1\n", "has unknown keys colour; known are host, port"),
        ('port = "8080"\n', "port is '8080' (from"),
        ("[port]\n", "port is {} (from"),
    ],
)
def test_a_bad_file_is_explained(tmp_path: Path, content: str, reason: str) -> None:
    file = tmp_path / "s.toml"
    file.write_text(content)
    with pytest.raises(ConfigError) as caught:
        read_config(["--config", str(file)], {})
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--port", "70000"], "port is 70000, it must be from 0 to 65535"),
        (["--max-streams", "0"], "max_streams is 0, it must be from 1 to 64"),
        (["--drain-s", "-1"], "drain_s is -1.0, it must be from 0 to 86400"),
        (["--miss-ratio-target", "2"], "miss_ratio_target is 2.0, it must be from 0 to 1"),
        (["--age-ms-target", "nan"], "age_ms_target is nan, it must be from 1 to"),
        (["--stun", "example.org"], "stun is 'example.org', it must begin with stun: or stuns:"),
        (["--turn", "stun:x"], "turn is 'stun:x', it must begin with turn: or turns:"),
        (["--log-level", "loud"], "log_level is 'loud', it must be one of debug, info"),
        (["--video-kbps", "100"], "video_kbps is 100, it must be from 250 to 50000"),
        (["--video-encoder", "av1"], "video_encoder is 'av1', it must be one of x264, auto"),
        (["--smooth", "perhaps"], "smooth is 'perhaps' (from --smooth), it must be bool"),
        (["--preset", ""], "preset is empty, it must be given"),
        (
            ["--echo-steps", "ms"],
            "echo_steps is 'ms', which goes with pipeline echo only; this is",
        ),
        (["--host", "::"], "host is '::', which others can reach: set a token of at least 16"),
        (["--host", "example.org", "--token", "short"], "set a token of at least 16"),
    ],
)
def test_a_bad_value_is_explained(flags: list[str], reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config(flags, {})
    assert reason in str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_this_machine_alone_needs_no_token(host: str) -> None:
    assert ServerConfig(host=host).is_loopback


def test_others_may_be_let_in_with_a_token() -> None:
    assert not ServerConfig(host="0.0.0.0", token="0123456789abcdef").is_loopback


SECRET = "known-to-nobody-else"
PAIRS = ("cloudflare_turn_key_id", "twilio_account_sid")


@pytest.mark.parametrize("name", secret_settings())
def test_a_secret_is_read_from_a_file_that_any_source_names(name: str, tmp_path: Path) -> None:
    """flag, environment and TOML; the line break is not part of it; a nearer source still wins."""
    held, toml = tmp_path / "held", tmp_path / "s.toml"
    held.write_text(SECRET + "\n")
    toml.write_text(f'{name}_file = "{held}"\n')
    pair = {
        "cloudflare_turn_api_token": {"SLIPSTREAM_CLOUDFLARE_TURN_KEY_ID": "id"},
        "twilio_auth_token": {"SLIPSTREAM_TWILIO_ACCOUNT_SID": "id"},
    }.get(name, {})
    variable, flag = f"SLIPSTREAM_{name.upper()}", f"--{name.replace('_', '-')}"
    for argv, environment in (
        ([f"{flag}-file", str(held)], {}),
        ([], {f"{variable}_FILE": str(held)}),
        (["--config", str(toml)], {}),
        ([f"{flag}-file", str(held)], {variable: "farther"}),
        ([], {f"{variable}_FILE": str(held), variable: ""}),
    ):
        assert getattr(read_config(argv, environment | pair), name) == SECRET
    assert getattr(read_config([flag, "x" * 16], {f"{variable}_FILE": str(held)} | pair), name) != (
        SECRET
    )


def test_the_providers_own_names_have_files_too(tmp_path: Path) -> None:
    (tmp_path / "held").write_text(SECRET)
    environment = {
        "TWILIO_ACCOUNT_SID": "id",
        "TWILIO_AUTH_TOKEN_FILE": str(tmp_path / "held"),
    }
    assert read_config([], environment).twilio_auth_token == SECRET


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "which cannot be read: No such file"),
        (b"", "which is empty"),
        (b"\n", "which is empty"),
        (SECRET.encode() + b"\nand more", "which has several lines"),
        (SECRET.encode() + b"\x00", "which has several lines or control characters"),
        (SECRET.encode() + b"\xff", "which is not UTF-8"),
        (SECRET.encode() * 1000, "which has more than 4096 bytes"),
    ],
)
def test_a_file_that_holds_no_secret_is_explained_and_not_shown(
    content: bytes | None, reason: str, tmp_path: Path
) -> None:
    held = tmp_path / "held"
    if content is not None:
        held.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_config(["--token-file", str(held)], {})
    assert f"token_file is '{held}', {reason}" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_secret_is_given_one_way(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="token and token_file are both set, leave one of them"):
        read_config(["--token", SECRET, "--token-file", "x"], {})


def test_secrets_are_shown_by_nothing(tmp_path: Path) -> None:
    """neither the settings' own text nor the error for a value of another type."""
    config = read_config(
        [],
        {f"SLIPSTREAM_{name.upper()}": SECRET for name in secret_settings()}
        | {f"SLIPSTREAM_{name.upper()}": "id" for name in PAIRS},
    )
    for text in (repr(config), str(config), f"{config}", repr([config])):
        assert SECRET not in text
        assert "token='***'" in text and "port=8080" in text
    assert "token=''" in repr(ServerConfig())
    for name in secret_settings():
        (tmp_path / "s.toml").write_text(f"{name} = 1234567890\n")
        with pytest.raises(ConfigError, match=f"{name} is of another type") as caught:
            read_config(["--config", str(tmp_path / "s.toml")], {})
        assert "1234567890" not in str(caught.value)
