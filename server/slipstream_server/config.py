"""The server's settings, their defaults and what each may be. Pure."""

import ipaddress
from dataclasses import dataclass, field, fields
from typing import Any

from slipstream_server.errors import ConfigError
from slipstream_server.ladder.settings import LadderSettings
from slipstream_server.media_addressing import (
    LOWEST_PORT,
    MediaAddressing,
    PortRange,
    PublicAddresses,
)
from slipstream_server.web_addressing import (
    AllowedOrigins,
    TrustedProxies,
    WebAddressing,
    parse_base_path,
)

_VIDEO_ENCODERS = ("x264", "auto")
_LOG_LEVELS = ("debug", "info", "warning", "error")
_LOG_FORMATS = ("text", "json")


def _setting(default: Any, help_text: str, *, is_secret: bool = False) -> Any:
    return field(default=default, metadata={"help": help_text, "is_secret": is_secret})


def _secret(help_text: str) -> Any:
    """A setting that is never shown, and may be read from a file."""
    return _setting("", help_text, is_secret=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """All settings; each field is a flag, an environment variable and a key of the file.

    Raises:
        ConfigError: if a value is not allowed.
    """

    host: str = _setting("127.0.0.1", "address to listen on; any but a loopback one needs a token")
    port: int = _setting(8080, "TCP port of the page and the API; 0 takes any free one")
    tls: str = _setting("", "self-signed: serve https with a certificate made at the first start")
    tls_cert: str = _setting("", "PEM file of your own certificate chain; serves https")
    tls_key: str = _setting("", "PEM file of its private key")
    trusted_proxies: str = _setting(
        "127.0.0.0/8,::1",
        "addresses and networks of proxies whose X-Forwarded- and Forwarded headers are believed",
    )
    base_path: str = _setting(
        "", "path of the page behind a proxy, as /slipstream, whether or not the proxy takes it off"
    )
    allow_origins: str = _setting(
        "",
        "other origins whose pages may use the API and show /view in a frame, as "
        "https://studio.example, with commas between; * for any",
    )
    token: str = _secret("secret that opens everything; the page hands out links for less")
    pipeline: str = _setting("diffusion", "what the engine runs: diffusion or echo")
    echo_steps: str = _setting(
        "",
        "file with the ms of a step, for tests that slow an engine: echo, and no other pipeline, "
        "takes four steps for a chunk then, and reads it before each; no steps unless set",
    )
    preset: str = _setting("tiny", "model of the pipeline")
    size: str = _setting(
        "", "WIDTHxHEIGHT of the engine's frames; chosen for preset and machine unless set"
    )
    codec: str = _setting(
        "", "wan, taehv or wan+taehv (encoder+decoder); the preset's own unless set"
    )
    device: str = _setting("", "torch device of the engine; a GPU where there is one unless set")
    devices: str = _setting(
        "",
        "several devices that share the model, as cuda:0,cuda:1; auto: all GPUs; one device unless "
        "set",
    )
    plan: str = _setting(
        "", "which of the devices runs what: auto, layers, steps or a plan's file; auto unless set"
    )
    weights: str = _setting("", "folder of downloaded weights; the engine's default unless set")
    checkpoint: str = _setting(
        "", "file of the transformer's weights; those of the preset unless set"
    )
    compile: str = _setting("", "graph (CUDA graphs) or none; graphs on a GPU unless set")
    threads: int = _setting(0, "CPU threads of the engine's arithmetic; 0: the engine chooses")
    max_streams: int = _setting(2, "streams at the same time, each with its camera")
    max_viewers: int = _setting(8, "viewers of other people's streams at the same time")
    max_cpu_share: float = _setting(
        0.9,
        "share of the processor, beside what the engine takes, that the codecs of all streams may "
        "need; 0: they are not counted",
    )
    max_send_mbps: float = _setting(
        0.0,
        "Mbit/s of this server's line that the pictures of all calls may take together; 0: they "
        "are not counted",
    )
    max_waiting: int = _setting(
        8, "callers who may wait for a place where a stream more would be one too many; 0: nobody"
    )
    hold_s: float = _setting(
        30.0, "seconds a stream is held for its camera to come back; 0: it ends"
    )
    drain_s: float = _setting(
        5.0, "seconds that calls may go on after SIGTERM, while no new ones are taken"
    )
    hand_over: bool = _setting(
        False,
        "other servers with the same token answer at this address: when this one stops, its pages "
        "move to them at once",
    )
    offers_per_minute: int = _setting(
        60,
        "calls that one address may begin in a minute, this machine 20 times as many; 0: no limit",
    )
    video_kbps: int = _setting(4000, "the highest bitrate of sent video, in kbit/s")
    video_encoder: str = _setting(
        "x264", "x264, or auto: NVENC of the graphics card where it works"
    )
    mute: bool = _setting(False, "take no sound of callers, so that none is heard or recorded")
    record_dir: str = _setting("", "folder of recordings; none can be made unless set")
    record_max_minutes: float = _setting(120.0, "the longest recording; it ends by itself")
    record_free_mib: int = _setting(
        1024, "room in MiB that recordings leave on the disk; they end when it is reached"
    )
    record_input: bool = _setting(
        False, "record what the camera sends beside the stream; costs one encoder more"
    )
    osc_port: int = _setting(0, "UDP port on which control surfaces steer by OSC; 0: none")
    osc_host: str = _setting(
        "127.0.0.1",
        "address of that port: OSC knows no tokens, whoever reaches it steers every stream",
    )
    smooth: bool = _setting(False, "let browsers buffer against jitter, which adds delay")
    media_port: int = _setting(
        0, "one UDP and TCP port for the media of all calls; 0: each call has a UDP port of its own"
    )
    media_ports: str = _setting("", "UDP ports of media, LOW-HIGH; any free ones unless set")
    public_ip: str = _setting(
        "", "public addresses of this machine behind a NAT, or names of them, with commas between"
    )
    allow_private: bool = _setting(
        False,
        "check callers' loopback, link-local and private addresses, for labs; as on 127.0.0.1",
    )
    stun: str = _setting("", "STUN server, stun:host:port; none unless set")
    turn: str = _setting("", "TURN server, turn:host:port[?transport=tcp]; none unless set")
    turn_username: str = _setting("", "fixed user name for the TURN server")
    turn_credential: str = _secret("fixed password for the TURN server")
    turn_secret: str = _secret("coturn's static-auth-secret; each session gets its own credentials")
    cloudflare_turn_key_id: str = _setting(
        "", "key id of Cloudflare's TURN; also read from CLOUDFLARE_TURN_KEY_ID"
    )
    cloudflare_turn_api_token: str = _secret(
        "its API token; also read from CLOUDFLARE_TURN_API_TOKEN"
    )
    twilio_account_sid: str = _setting(
        "", "account SID of Twilio's TURN; also read from TWILIO_ACCOUNT_SID"
    )
    twilio_auth_token: str = _secret("its auth token; also read from TWILIO_AUTH_TOKEN")
    ttff_ms_target: float = _setting(
        1000.0, "target: from offer to first generated frame sent, in ms"
    )
    age_ms_target: float = _setting(1000.0, "target: p95 of the time from capture to sent, in ms")
    miss_ratio_target: float = _setting(0.01, "target: share of chunks later than their deadline")
    rate_ratio_target: float = _setting(
        0.9,
        "target: share of the camera's frames that are shown; where the model alone makes fewer a "
        "second, of those",
    )
    in_time_ratio_target: float = _setting(
        0.95,
        "target: share of first frames and of frames that are in time; what may be late of them is "
        "their error budget",
    )
    ladder: str = _setting(
        "",
        "quality levels, STEPS[@FPS][/SIZE], the best first, held last where the newest stream may "
        "be, as 4,2,1,1@15,held; the preset's own unless set; off: quality stays as chosen",
    )
    quality_floor: str = _setting("", "level of the ladder below which no stream goes, as 1@12")
    log_level: str = _setting("info", "debug, info, warning or error")
    log_format: str = _setting("text", "text for people, or json: an object on each line")

    def __post_init__(self) -> None:
        self._check_range("port", 0, 65535)
        self._check_tls()
        self._check_web_addressing()
        self._check_range("threads", 0, 1024)
        self._check_range("max_streams", 1, 64)
        self._check_range("max_viewers", 0, 1024)
        self._check_range("max_cpu_share", 0, 1)
        self._check_range("max_send_mbps", 0, 1_000_000)
        self._check_range("max_waiting", 0, 1024)
        self._check_range("hold_s", 0, 600)
        self._check_range("drain_s", 0, 86_400)
        self._check_range("offers_per_minute", 0, 1_000_000)
        self._check_range("video_kbps", 250, 50_000)
        self._check_choice("video_encoder", _VIDEO_ENCODERS)
        self._check_range("osc_port", 0, 65535)
        self._check_range("record_max_minutes", 0.01, 100_000)
        self._check_range("record_free_mib", 0, 1 << 30)
        self._check_range("ttff_ms_target", 1, 3_600_000)
        self._check_range("age_ms_target", 1, 3_600_000)
        for name in ("miss_ratio_target", "rate_ratio_target", "in_time_ratio_target"):
            self._check_range(name, 0, 1)
        self._check_echo()
        self._check_ladder()
        self._check_media_addressing()
        self._check_scheme("stun", ("stun:", "stuns:"))
        self._check_pair("cloudflare_turn_key_id", "cloudflare_turn_api_token")
        self._check_pair("twilio_account_sid", "twilio_auth_token")
        self._check_scheme("turn", ("turn:", "turns:"))
        self._check_choice("log_level", _LOG_LEVELS)
        self._check_choice("log_format", _LOG_FORMATS)
        for name in ("host", "osc_host", "pipeline", "preset"):
            if not getattr(self, name):
                raise ConfigError(f"{name} is empty, it must be given")
        if not self.is_loopback and len(self.token) < 16:
            raise ConfigError(
                f"host is {self.host!r}, which others can reach: set a token of at least 16 "
                "characters (--token, or SLIPSTREAM_TOKEN), or listen on 127.0.0.1"
            )

    def __repr__(self) -> str:
        values = {setting.name: getattr(self, setting.name) for setting in fields(self)}
        for name in secret_settings():
            values[name] = "***" if values[name] else ""
        return f"ServerConfig({', '.join(f'{name}={value!r}' for name, value in values.items())})"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the port."""
        return _is_loopback(self.host)

    @property
    def is_osc_open(self) -> bool:
        """Whether other machines can reach the port of control surfaces."""
        return bool(self.osc_port) and not _is_loopback(self.osc_host)

    @property
    def is_secure(self) -> bool:
        """Whether pages come over https."""
        return bool(self.tls or self.tls_cert)

    def _check_tls(self) -> None:
        if self.tls not in ("", "self-signed"):
            raise ConfigError(f"tls is {self.tls!r}, it must be 'self-signed', or unset")
        if bool(self.tls_cert) != bool(self.tls_key):
            missing = "tls_key" if self.tls_cert else "tls_cert"
            raise ConfigError(f"{missing} is not set, tls_cert and tls_key go together")
        if self.tls and self.tls_cert:
            raise ConfigError(
                "tls is 'self-signed' and tls_cert is set, only one can be; leave one out"
            )

    @property
    def web_addressing(self) -> WebAddressing:
        """How the page and the API are reached from outside."""
        return WebAddressing(
            trusted_proxies=TrustedProxies.parse(self.trusted_proxies),
            base_path=parse_base_path(self.base_path),
            allowed_origins=AllowedOrigins.parse(self.allow_origins),
        )

    def _check_web_addressing(self) -> None:
        for name, parse in (
            ("trusted_proxies", TrustedProxies.parse),
            ("base_path", parse_base_path),
            ("allow_origins", AllowedOrigins.parse),
        ):
            try:
                parse(getattr(self, name))
            except ValueError as error:
                raise ConfigError(f"{name} is {error}") from error
        if self.web_addressing.allowed_origins.any and not self.token:
            raise ConfigError(
                "allow_origins is '*', which needs a token: without one every page that a browser "
                "on this machine opens could use the server; set --token, or name the origins"
            )

    @property
    def media_addressing(self) -> MediaAddressing:
        """The ports and addresses of calls' media."""
        ports = PortRange.parse(self.media_ports) if self.media_ports else None
        return MediaAddressing(
            loopback=self.is_loopback,
            allow_private=self.allow_private,
            ports=ports,
            port=self.media_port or None,
            public=PublicAddresses.parse(self.public_ip),
        )

    def _check_media_addressing(self) -> None:
        try:
            PublicAddresses.parse(self.public_ip)
        except ValueError as error:
            raise ConfigError(f"public_ip is {error}") from error
        try:
            ports = self.media_addressing.ports
        except ValueError as error:
            raise ConfigError(f"media_ports is {error}") from error
        if self.media_port:
            self._check_media_port()
        if ports is not None and len(ports) < self.max_streams:
            raise ConfigError(
                f"media_ports is {ports}, it must have a port for each of max_streams, which is "
                f"{self.max_streams}, and one for each viewer"
            )

    def _check_media_port(self) -> None:
        self._check_range("media_port", LOWEST_PORT, 65535)
        if self.media_ports:
            raise ConfigError(
                f"media_port is {self.media_port} and media_ports is {self.media_ports!r}, only "
                "one can be; leave one out"
            )
        if self.media_port == self.port:
            raise ConfigError(
                f"media_port is {self.media_port}, which is the port of the page too; choose "
                "another, media comes over TCP as well"
            )

    @property
    def ladder_settings(self) -> LadderSettings:
        """The quality levels of streams."""
        return LadderSettings.parse(self.ladder, self.quality_floor)

    def _check_echo(self) -> None:
        if self.echo_steps and self.pipeline != "echo":
            raise ConfigError(
                f"echo_steps is {self.echo_steps!r}, which goes with pipeline echo only; this is "
                f"{self.pipeline!r}; leave it out"
            )

    def _check_ladder(self) -> None:
        try:
            LadderSettings.parse(self.ladder, self.quality_floor)
        except ValueError as error:
            raise ConfigError(str(error)) from error

    def _check_range(self, name: str, low: float, high: float) -> None:
        value = getattr(self, name)
        if not low <= value <= high:
            raise ConfigError(f"{name} is {value}, it must be from {low} to {high}")

    def _check_pair(self, name: str, secret: str) -> None:
        for present, missing in ((name, secret), (secret, name)):
            if getattr(self, present) and not getattr(self, missing):
                raise ConfigError(f"{missing} is missing, {present} is of no use without it")

    def _check_choice(self, name: str, choices: tuple[str, ...]) -> None:
        value = getattr(self, name)
        if value not in choices:
            raise ConfigError(f"{name} is {value!r}, it must be one of {', '.join(choices)}")

    def _check_scheme(self, name: str, schemes: tuple[str, ...]) -> None:
        value = getattr(self, name)
        if value and not value.startswith(schemes):
            raise ConfigError(f"{name} is {value!r}, it must begin with {' or '.join(schemes)}")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def secret_settings() -> tuple[str, ...]:
    """The settings that are never shown, and may be read from files."""
    return tuple(setting.name for setting in fields(ServerConfig) if setting.metadata["is_secret"])
