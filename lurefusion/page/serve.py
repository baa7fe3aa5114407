"""Puts the page on an address: of this machine alone unless told otherwise, and with nothing from the net in it."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from lurefusion.page.desk import Desk
from lurefusion.page.examples import MODALITIES, examples_in, rendered_examples
from lurefusion.page.limits import Limits
from lurefusion.page.scratch import Scratch

#: what a browser may load for the page: nothing from elsewhere
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)
# beside style.css, whose rules Gradio confines to what lies within its margins
_MARGINS = '<style>@media (max-width: 640px) {.gradio-container .main.fillable {padding: 0.6rem !important}}</style>'
_HEADERS = (
    (b'content-security-policy', POLICY.encode()),
    (b'x-content-type-options', b'nosniff'),
    (b'referrer-policy', b'no-referrer'),
)


class SafeHeaders:
    """ASGI: tells browsers to load nothing from elsewhere, on every answer."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self.app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        async def answered(message: MutableMapping[str, Any]) -> None:
            if message['type'] == 'http.response.start':
                message['headers'] = [*message.get('headers', ()), *_HEADERS]
            await send(message)

        await self.app(scope, receive, answered if scope['type'] == 'http' else send)


@dataclass
class Page:
    """A page that is up.

    Attributes:
        url: Its address.
        desk: Who answers.
        scratch: Where its files are.
    """

    url: str
    desk: Desk
    scratch: Scratch
    _blocks: Any

    def close(self) -> None:
        """Take it down and remove its files."""
        self._blocks.close(verbose=False)
        self.scratch.close()

    def wait(self) -> None:
        """Until the process is told to end (Ctrl+C, SIGTERM)."""
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            while True:
                signal.pause()
        except KeyboardInterrupt:
            pass
        finally:
            self.close()


def open_page(
    host: str = '127.0.0.1',
    port: int | None = None,
    model: str | None = None,
    weights: str | None = None,
    device: str | None = None,
    examples: str | None = None,
    limits: Limits | None = None,
) -> Page:
    """Put the page up; it answers from threads of its own.

    Args:
        host: Address to listen at; ``0.0.0.0`` for everybody who can reach this machine.
        port: None: the first free one from 7860 on.
        model, weights, device: See :class:`lurefusion.page.desk.Desk`.
        examples: Folder, see :func:`lurefusion.page.examples.examples_in`; ``none``: no examples; None: rendered ones.
        limits: What is refused.

    Raises:
        ImportError: If Gradio is missing; says how to get it.
        OSError, ValueError: If the address is taken, or is none of this machine.
        FileNotFoundError, ValueError: As of `Desk`.
    """
    # before Gradio is imported, which reads these once
    os.environ.update(GRADIO_ANALYTICS_ENABLED='False', HF_HUB_DISABLE_TELEMETRY='1')
    os.environ.pop('GRADIO_SHARE', None)
    # it asks itself whether it is up, and no proxy would know
    for name in ('NO_PROXY', 'no_proxy'):
        os.environ[name] = ','.join(filter(None, (os.environ.get(name), 'localhost', '127.0.0.1', host)))
    need_gradio()
    _check_address(host, port)
    desk = Desk(limits, model, weights, device)
    scratch = Scratch()
    try:
        os.environ['GRADIO_TEMP_DIR'] = str(scratch.uploads)
        if examples == 'none' or (examples is None and desk.modalities != MODALITIES):
            pairs = []
        elif examples is None:
            pairs = rendered_examples(scratch.examples)
        else:
            pairs = examples_in(examples, desk.modalities)
        blocks = _launched(desk, scratch, pairs, host, port)
    except BaseException:
        scratch.close()
        raise
    return Page(blocks.local_url, desk, scratch, blocks)


def _check_address(host: str, port: int | None) -> None:
    """Refuse an address that cannot be listened at, before anything is loaded."""
    if port is not None and not 0 < port < 65536:
        raise ValueError(f'--port {port}: ports are 1 to 65535')
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port or 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (OSError, UnicodeError) as error:
        what = f'--host {host}' if port is None else f'--host {host} --port {port}'
        raise OSError(
            f'{what}: cannot listen there ({getattr(error, "strerror", None) or error}); choose another'
        ) from None


def need_gradio() -> None:
    """ImportError with the way to get it, if Gradio is missing or too old."""
    try:
        import gradio
    except ImportError as error:
        raise ImportError(f"the page needs Gradio: pip install 'lurefusion[demo]' ({error})") from None
    if int(gradio.__version__.split('.')[0]) < 6:
        raise ImportError(f"the page needs Gradio 6, {gradio.__version__} is here: pip install 'lurefusion[demo]'")


def _launched(desk: Desk, scratch: Scratch, examples: list, host: str, port: int | None) -> Any:
    import gradio as gr
    from starlette.middleware import Middleware

    from lurefusion.page.layout import STYLE, Parts, build

    fonts = ['system-ui', '-apple-system', 'Segoe UI', 'Roboto', 'Noto Sans', 'sans-serif']
    theme = gr.themes.Default(font=fonts, font_mono=['ui-monospace', 'Consolas', 'monospace'], primary_hue='blue')
    blocks = build(Parts(desk, examples, scratch))
    blocks.launch(
        server_name=host,
        server_port=port,
        share=False,
        inbrowser=False,
        quiet=True,
        prevent_thread_lock=True,
        show_error=True,
        footer_links=[],
        run_history=False,
        max_file_size=desk.limits.upload,
        state_session_capacity=1000,
        enable_monitoring=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        num_workers=0,
        strict_cors=True,
        theme=theme,
        css_paths=str(STYLE),
        head=_MARGINS,
        app_kwargs=dict(middleware=[Middleware(SafeHeaders)]),
    )
    return blocks
