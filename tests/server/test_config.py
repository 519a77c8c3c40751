"""Where settings come from, and what becomes of bad ones."""

from pathlib import Path

import pytest
from slipstream_server.config import ServerConfig, read_config
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
        (
            ["--media-workers", "3"],
            "media_workers is 3, it must be at most max_streams, which is 2",
        ),
        (["--miss-ratio-target", "2"], "miss_ratio_target is 2.0, it must be from 0 to 1"),
        (["--age-ms-target", "nan"], "age_ms_target is nan, it must be from 1 to"),
        (["--stun", "example.org"], "stun is 'example.org', it must begin with stun: or stuns:"),
        (["--turn", "stun:x"], "turn is 'stun:x', it must begin with turn: or turns:"),
        (["--log-level", "loud"], "log_level is 'loud', it must be one of debug, info"),
        (["--video-kbps", "100"], "video_kbps is 100, it must be from 250 to 50000"),
        (["--video-encoder", "av1"], "video_encoder is 'av1', it must be one of x264, auto"),
        (["--smooth", "perhaps"], "smooth is 'perhaps' (from --smooth), it must be bool"),
        (["--preset", ""], "preset is empty, it must be given"),
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
