"""The connection to one OpenAI-compatible server, and the key for it."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

import httpx2
import openai

from agentdistill.errors import ModelError

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
# A connection that has been idle for longer is not used again. vLLM, and whatever else runs on uvicorn, closes one that
# is idle for 5 seconds, and a request sent at that moment is lost: nobody knows whether it was taken.
IDLE_SECONDS = 2.0


def open_client(url: str, secret: str, timeout: float) -> openai.AsyncOpenAI:
    """Return a client for one server; what is retried and when is not its business."""
    # A proxy from the environment cannot reach this machine's own servers and must not see their keys.
    local = urlsplit(url).hostname in LOOPBACK
    return openai.AsyncOpenAI(
        base_url=url,
        api_key=secret or "none",  # the client wants some key even where the server wants none
        max_retries=0,
        timeout=timeout,
        http_client=openai.DefaultAioHttpClient(
            trust_env=not local,
            # How many requests are in flight is the caller's business. One that waited here for one of the client's own
            # thousand connections would spend its timeout on that. 0 is no limit.
            limits=httpx2.Limits(max_connections=0, keepalive_expiry=IDLE_SECONDS),
        ),
    )


def read_key(variable: str | None) -> str:
    """Return the key in an environment variable, empty where none is wanted. Raises `ModelError` for what is no key."""
    if variable is None:
        return ""
    key = os.environ.get(variable, "").strip()  # files that hold keys end with a newline
    if not key:
        raise ModelError(
            f"The environment variable {variable} is not set; it should hold the key of the model's server. Set it in "
            "the shell that starts the pipeline, or give api_key_env: null for a server without keys."
        )
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise ModelError(
            f"The environment variable {variable} holds no key: there are characters in it that no header can carry. "
            "Set it to the key alone."
        )
    return key
