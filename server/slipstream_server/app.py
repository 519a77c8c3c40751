"""The application: engine, sessions and HTTP put together, started and stopped."""

import asyncio
import contextlib
import importlib.metadata
import logging
import os
import secrets
import ssl
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

from aiohttp import web

from slipstream_server.config import ServerConfig
from slipstream_server.control.events import SERVER_STOPS
from slipstream_server.engine.child_process import background
from slipstream_server.engine.supervisor import Supervisor, engine_command
from slipstream_server.errors import PortBusy
from slipstream_server.http.access import Guard
from slipstream_server.http.bodies import BODY_MAX_BYTES, HTTP_OPTIONS, read_body
from slipstream_server.http.connection import note_request
from slipstream_server.http.connection_table import ConnectionTable
from slipstream_server.http.health import HealthProbes
from slipstream_server.http.listener import HttpListener, http_places
from slipstream_server.http.outside import OutsideView
from slipstream_server.http.port import bind
from slipstream_server.http.rate_limit import RateLimit, client_key
from slipstream_server.http.refusals import RefusalCounter
from slipstream_server.http.refused_bodies import discard_refused_body
from slipstream_server.http.security_headers import SecurityHeaders
from slipstream_server.http.sign_in import SignIn
from slipstream_server.http.static import page_routes, web_root
from slipstream_server.http.token_issuer import TokenIssuer, make_issuer
from slipstream_server.ice.media_port import MediaPort
from slipstream_server.ice.public_names import keep_looking_up, look_up
from slipstream_server.ice.turn_providers import TurnProviders
from slipstream_server.observability.metrics import Metrics
from slipstream_server.observability.slo_report import SloTargets
from slipstream_server.osc.port import OscPort
from slipstream_server.recordings.folder import RecordingsFolder
from slipstream_server.send.adaptive_encoder import VideoSettings
from slipstream_server.send.h264 import X264, choose_codec
from slipstream_server.sessions.registry import SessionRegistry
from slipstream_server.shutdown import Shutdown
from slipstream_server.signaling.node_api import NodeApi
from slipstream_server.signaling.recordings_api import RecordingsApi
from slipstream_server.signaling.streams_api import StreamsApi
from slipstream_server.signaling.tokens_api import TokensApi
from slipstream_server.signaling.webrtc_api import WebRtcApi, errors_as_json
from slipstream_server.signaling.whip import WhipApi
from slipstream_server.streams.media_context import MediaContext
from slipstream_server.streams.ports import EngineProvider
from slipstream_server.streams.resume_tokens import KEY_FILE, ResumeTokens, kept_key, shared_key

logger = logging.getLogger(__name__)

SESSIONS = web.AppKey("sessions", SessionRegistry)
_LAST_REQUESTS_S = 2.0  # how long requests may still take once the server stops


def version() -> str:
    try:
        return importlib.metadata.version("slipstream")
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def make_app(
    config: ServerConfig,
    engine: EngineProvider,
    pool: Executor,
    *,
    page: Path,
    resume_key: bytes | None = None,
    table: ConnectionTable | None = None,
) -> web.Application:
    """The application around a given engine; its shutdown ends the sessions.

    Args:
        page: the folder of the page's files.
        resume_key: of resume tokens; without one they are of use in this process only.
        table: of the connections that it is served on, for the metrics.
    """
    targets = SloTargets(
        ttff_ms=config.ttff_ms_target,
        age_ms=config.age_ms_target,
        miss_ratio=config.miss_ratio_target,
        rate_ratio=config.rate_ratio_target,
        in_time_ratio=config.in_time_ratio_target,
    )
    metrics = Metrics(targets)
    if table is not None:
        metrics.http.connections = table.totals
    outside = OutsideView(config.web_addressing)
    issuer = make_issuer(config.token) if config.token else None
    pages = page_routes(page)
    guard = _guard(config, issuer, metrics, files=frozenset(route.path for route in pages))
    app = _guarded_application(config, outside, guard, metrics)
    resume_tokens = ResumeTokens(resume_key or secrets.token_bytes())
    sessions = _add_calls(
        app,
        config,
        engine,
        pool,
        metrics,
        targets,
        resume_tokens,
        outside=outside,
        issuer=issuer,
    )
    probes = HealthProbes(
        engine=engine,
        count=sessions.count,
        check_open=sessions.check_open,
        slo=metrics.slo_summary,
        config=config,
        version=version(),
        began_s=time.monotonic(),
    )
    node = NodeApi(sessions, probes.describe, max_viewers=config.max_viewers)
    app.add_routes(outside.routes([*probes.routes(), *node.routes(), *pages]))
    guard.check_routes(app)
    return app


def _guard(
    config: ServerConfig, issuer: TokenIssuer | None, metrics: Metrics, *, files: frozenset[str]
) -> Guard:
    sign_in = None
    if issuer is not None:
        sign_in = SignIn(
            config.token,
            issuer,
            client_of=lambda request: client_key(request.remote),
            on_wrong_token=metrics.wrong_token,
        )
    return Guard(
        sign_in,
        is_loopback=config.is_loopback,
        addressing=config.web_addressing,
        files=files,
    )


def _guarded_application(
    config: ServerConfig, outside: OutsideView, guard: Guard, metrics: Metrics
) -> web.Application:
    """An application without routes yet, whose requests are limited and authorised."""
    rate_limit = RateLimit(config.offers_per_minute)
    checks = guard.middlewares(errors_as_json, rate_limit.limit)
    app = web.Application(
        client_max_size=BODY_MAX_BYTES,
        middlewares=[
            note_request,
            discard_refused_body,
            outside.show,
            RefusalCounter(metrics.http).count,
            *checks,
            read_body,
        ],
    )
    headers = SecurityHeaders(config.web_addressing.allowed_origins)
    app.on_response_prepare.append(headers.on_response_prepare)
    return app


def _recordings(config: ServerConfig) -> RecordingsFolder | None:
    if not config.record_dir:
        return None
    return RecordingsFolder(
        root=Path(config.record_dir),
        max_minutes=config.record_max_minutes,
        free_mib=config.record_free_mib,
        with_input=config.record_input,
    )


def _add_calls(
    app: web.Application,
    config: ServerConfig,
    engine: EngineProvider,
    pool: Executor,
    metrics: Metrics,
    targets: SloTargets,
    resume_tokens: ResumeTokens,
    *,
    outside: OutsideView,
    issuer: TokenIssuer | None,
) -> SessionRegistry:
    """The sessions and the routes to them; the application's shutdown ends them."""
    video = VideoSettings(
        codec=choose_codec() if config.video_encoder == "auto" else X264,
        ceiling_bps=config.video_kbps * 1000,
        low_delay=not config.smooth,
    )
    addressing = config.media_addressing
    media_port = (
        None
        if addressing.port is None
        else MediaPort(addressing.port, loopback=addressing.loopback)
    )
    if media_port is not None:
        metrics.watch_media_port(lambda: media_port.drops)
    context = MediaContext(
        metrics=metrics,
        targets=targets,
        pool=pool,
        media_addressing=addressing,
        media_port=media_port,
        ladder=config.ladder_settings,
        video=video,
        sound=not config.mute,
        recordings=_recordings(config),
    )
    turn_providers = TurnProviders.from_config(config)
    app[SESSIONS] = sessions = SessionRegistry(
        config, engine, context, turn_providers=turn_providers, resume_tokens=resume_tokens
    )
    for api in (
        WebRtcApi(sessions, engine, metrics, issuer),
        WhipApi(sessions, metrics),
        StreamsApi(sessions),
        RecordingsApi(sessions, context.recordings),
        TokensApi(issuer),
    ):
        app.add_routes(outside.routes(api.routes()))

    async def end_sessions(_: web.Application) -> None:
        await sessions.close_all(SERVER_STOPS)

    async def renew_turn_credentials(_: web.Application) -> AsyncIterator[None]:
        renewing = asyncio.create_task(turn_providers.run(), name="turn credentials")
        yield
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)

    async def watch_load(_: web.Application) -> AsyncIterator[None]:
        async with (
            background(sessions.keep_measuring(), name="cpu"),
            background(sessions.keep_telling_line(), name="line"),
        ):
            yield

    async def look_up_public_names(_: web.Application) -> AsyncIterator[None]:
        public = context.media_addressing.public
        await look_up(public)
        again = asyncio.create_task(keep_looking_up(public), name="public names")
        yield
        again.cancel()
        await asyncio.gather(again, return_exceptions=True)

    async def open_media_port(_: web.Application) -> AsyncIterator[None]:
        async with media_port or contextlib.nullcontext():
            yield

    async def open_osc_port(_: web.Application) -> AsyncIterator[None]:
        if not config.osc_port:
            yield
            return
        if config.is_osc_open:
            logger.warning(
                "OSC is taken on %s: whoever reaches that port steers every stream, without a "
                "token; keep others from it",
                config.osc_host,
            )
        async with contextlib.AsyncExitStack() as stack:
            try:
                port = OscPort(sessions, host=config.osc_host, port=config.osc_port)
                await stack.enter_async_context(port)
            except OSError as error:
                raise PortBusy(
                    f"osc_port {config.osc_port} of {config.osc_host} cannot be had: "
                    f"{error.strerror or error}; choose another"
                ) from error
            yield

    app.on_shutdown.append(end_sessions)
    app.cleanup_ctx.extend(
        [open_media_port, open_osc_port, watch_load, renew_turn_credentials, look_up_public_names]
    )
    return sessions


async def serve(
    config: ServerConfig,
    *,
    tls: Callable[[], ssl.SSLContext] | None,
    shutdown: Shutdown,
    started: Callable[[int], None],
) -> None:
    """Bind the port, start the engine, and serve until `shutdown` asks for the end.

    Args:
        tls: with it HTTPS is served; called for each connection.
        started: called with the port, once the server listens.

    Raises:
        PortBusy: if the port is taken.
        ConfigError: if the page's files are missing.
    """
    listener = bind(config.host, config.port)
    with contextlib.closing(listener):
        table = ConnectionTable(http_places(config.max_streams + config.max_viewers))
        async with _running_app(config, web_root(), shutdown, table) as app:
            runner = web.AppRunner(
                app, access_log=None, shutdown_timeout=_LAST_REQUESTS_S, **HTTP_OPTIONS
            )
            await runner.setup()
            try:
                assert runner.server is not None, "the runner is set up before it listens"
                async with HttpListener(
                    runner.server,
                    listener,
                    table,
                    trusted_proxies=config.web_addressing.trusted_proxies,
                    tls=tls,
                ):
                    started(listener.getsockname()[1])
                    await shutdown.requested.wait()
                    await app[SESSIONS].drain(config.drain_s, ends_calls=shutdown.ends_calls)
            finally:
                await runner.cleanup()


@contextlib.asynccontextmanager
async def _running_app(
    config: ServerConfig, page: Path, shutdown: Shutdown, table: ConnectionTable
) -> AsyncIterator[web.Application]:
    """The application, and an engine for it while the block runs."""
    with pixel_pool() as pool:
        async with running_engine(config, pool, is_urgent=shutdown.is_urgent) as supervisor:
            key = shared_key(config.token) if config.token else kept_key(KEY_FILE)
            yield make_app(config, supervisor, pool, page=page, resume_key=key, table=table)


@contextlib.asynccontextmanager
async def running_engine(
    config: ServerConfig, pool: Executor, *, is_urgent: asyncio.Event | None = None
) -> AsyncIterator[Supervisor]:
    """A supervised engine while the block runs.

    Args:
        is_urgent: once it is set, the engine is killed at the block's end.
    """
    supervisor = Supervisor(engine_command(config), pool, config.ladder_settings.check)
    running = asyncio.create_task(supervisor.run(), name="supervisor")
    try:
        yield supervisor
    finally:
        supervisor.stop()
        async with background(_kill(supervisor, is_urgent or asyncio.Event()), name="engine kill"):
            await running


async def _kill(supervisor: Supervisor, is_urgent: asyncio.Event) -> None:
    await is_urgent.wait()
    supervisor.kill()


def pixel_pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1), thread_name_prefix="pixels")
