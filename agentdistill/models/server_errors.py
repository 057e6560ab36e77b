"""What an OpenAI-compatible server's failure means: wait and retry, ask differently, or give up with a sentence."""

from __future__ import annotations

import email.utils
import re
import time
from collections.abc import Iterator, Mapping

import aiohttp
import openai

from agentdistill.errors import ContextOverflow, ModelError, ModelUnusable
from agentdistill.models.chat import BrokenOff

OVERFLOW = re.compile(r"context.length|maximum context|max_model_len|context window|prompt is too long", re.IGNORECASE)
RETRIED_STATUSES = frozenset({408, 409, 425, 429})  # and all of 5xx
REFUSAL_STATUSES = frozenset({400, 413, 422})  # of a request for what it says
TURNED_AWAY_STATUSES = frozenset({503, 529})  # by a server that has no room; other 5xx may come of a gateway's timeout
NO_QUOTA = "insufficient_quota"
SHOWN_CHARACTERS = 300


class BadAnswer(Exception):
    """The server answered 200 with something that is no chat completion."""


def is_passing(error: Exception) -> bool:
    """Tell whether the same request may succeed later."""
    if isinstance(error, openai.APIStatusError):
        if error.code == NO_QUOTA:
            return False
        return error.status_code in RETRIED_STATUSES or error.status_code >= 500
    return isinstance(error, openai.APIConnectionError | BadAnswer | TimeoutError)


def is_overload(error: Exception) -> bool:
    """Tell whether a passing error says that the server has too much to do."""
    return not isinstance(error, BadAnswer) and not _is_unconnected(error)


def is_free(error: Exception) -> bool:
    """Tell whether a failed request cost nothing for sure: it was turned away before anything was generated."""
    if isinstance(error, openai.APIStatusError) and not isinstance(error.__cause__, BrokenOff):
        return error.status_code < 500 or error.status_code in TURNED_AWAY_STATUSES
    return _is_unconnected(error)


def _is_unconnected(error: Exception) -> bool:
    """Tell whether nobody took the connection."""
    return any(isinstance(cause, aiohttp.ClientConnectorError) for cause in _causes(error))


def retry_after(error: Exception) -> float | None:
    """Return the seconds that the server asked to wait, if it did."""
    if not isinstance(error, openai.APIStatusError):
        return None
    headers: Mapping[str, str] = error.response.headers
    milliseconds, seconds = headers.get("retry-after-ms"), headers.get("retry-after")
    try:
        if milliseconds is not None:
            return _positive(float(milliseconds) / 1000)
        if seconds is not None:
            return _positive(float(seconds))
    except ValueError:
        date = email.utils.parsedate_tz(seconds or "")
        return max(0.0, email.utils.mktime_tz(date) - time.time()) if date is not None else None
    return None


def _positive(seconds: float) -> float | None:
    return seconds if seconds > 0 else None  # a server may also send what is no number ("nan"), or one below 0


def is_refusal(error: BaseException | None) -> bool:
    """Tell whether the server refused the request for what it says."""
    return isinstance(error, openai.APIStatusError) and error.status_code in REFUSAL_STATUSES


def refuses(error: Exception, parameter: str) -> bool:
    """Tell whether the server refused the request because of `parameter`. Servers also repeat the request in their
    message, where every parameter has its value behind it."""
    if not (isinstance(error, openai.APIStatusError) and is_refusal(error)):
        return False
    if error.param:
        return error.param == parameter
    before = r"(?:^|[:,.]\s*|- |['\"`(]|\b(?:parameter|argument|field|value|and|or)s?\s)"
    blamed = rf"{before}{parameter}\b(?!['\"`]?\s*[:=])"
    return re.search(blamed, _text(error)) is not None


def wants_other_limit(error: Exception) -> bool:
    """Tell whether the server refused `max_tokens` and knows `max_completion_tokens`."""
    return is_refusal(error) and "max_completion_tokens" in str(error)


def as_model_error(error: Exception, *, url: str, model: str, key_variable: str | None, secret: str) -> ModelError:
    """Return one sentence or two for the user. `secret` never appears in it, even if the server repeats it."""
    said = _said(error, secret)
    result: ModelError
    if isinstance(error, openai.APIStatusError):
        status = error.status_code
        if status in (401, 403):
            where = f"the key in the environment variable {key_variable}" if key_variable else "a request without a key"
            kind = ModelUnusable if status == 401 else ModelError  # a moderated question has 403 as well
            result = kind(f"{url} refused {where}: {said}. Set the right key, and never write it into params.yaml.")
        elif status == 404:
            result = ModelUnusable(f"{url} has no model {model!r}: {said}. Correct the model's name or the URL.")
        elif status == 402 or error.code == NO_QUOTA:
            result = ModelUnusable(f"The account at {url} has nothing left to pay with: {said}.")
        elif is_refusal(error) and OVERFLOW.search(_text(error)):
            result = ContextOverflow(f"The prompt and max_tokens do not fit into {model!r} at {url}: {said}.")
        else:
            result = ModelError(f"{url} refused a request to {model!r} with status {status}: {said}.{_advice(error)}")
    elif any(isinstance(cause, TimeoutError) for cause in _causes(error)):
        result = ModelError(f"{url} did not answer in time. Raise timeout_seconds, or lower max_concurrency.")
    elif isinstance(error, openai.APIConnectionError):
        result = ModelError(f"{url} cannot be reached: {said}. Start the server, or correct the URL.")
    else:
        result = ModelError(f"{url} answered with something that is no chat completion: {said}.")
    return result


def _advice(error: openai.APIStatusError) -> str:
    if any(refuses(error, parameter) for parameter in ("temperature", "top_p")):
        return " If the model takes no sampling but its own, set fixed_sampling: true in its block."
    return ""


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what it came of. Between the connection and the client, a refused one is called a timeout."""
    while error is not None:
        yield error
        error = error.__cause__


def _text(error: openai.APIError) -> str:
    """Return what the server said; a gateway hides its provider's reason below its own."""
    metadata = error.body.get("metadata") if isinstance(error.body, dict) else None
    if isinstance(metadata, dict) and "raw" in metadata:
        return f"{error.message}: {metadata['raw']}"
    return error.message


def _said(error: Exception, secret: str) -> str:
    text = _text(error) if isinstance(error, openai.APIError) else str(error)
    if isinstance(error, openai.APIConnectionError) and error.__cause__ is not None:
        failed = [cause for cause in _causes(error) if isinstance(cause, OSError)]
        shown = failed[-1] if failed else error.__cause__
        text = str(shown) or type(shown).__name__
    if secret:
        text = text.replace(secret, "***")
    text = " ".join(text.split()).rstrip(".")
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 3] + "..."
