"""Any OpenAI-compatible chat endpoint: a hosted API, a gateway, a vLLM server.

What a server can do is found out, not assumed: several choices in one request, continuing a prefill, the name of the
token limit. Requests are retried with exponential backoff and jitter, sent at a rate that adapts to the server
(`concurrency.py`) and never past the caps (`budget.py`). The key comes from the environment and goes nowhere else.

Not promised: that a hosted model answers the same request alike twice. The ledger is what makes a rerun exact.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

import openai
from openai.types import CompletionUsage
from openai.types.chat import ChatCompletion

from agentdistill.errors import ModelError
from agentdistill.models.budget import Budget, Caps, Prices, most_prompt_tokens
from agentdistill.models.chat import (
    PROMPTED_PREFILL,
    completions,
    home_replica,
    prompt_tokens,
    with_prefill_in_prompt,
    without_prefill,
)
from agentdistill.models.concurrency import START, AdaptiveLimit
from agentdistill.models.server_errors import (
    BadAnswer,
    as_model_error,
    is_overload,
    is_passing,
    refuses,
    retry_after,
)
from agentdistill.records import Completion, Message, Reply, Sampling, Usage, total_usage
from agentdistill.store.digest import DIGEST_HEX_DIGITS

FIRST_BACKOFF_SECONDS = 0.5
LONGEST_BACKOFF_SECONDS = 60.0
LONGEST_WAIT_SECONDS = 600.0  # a server that asks for more has to be asked another day
SEED_BITS = 31  # what every server takes
CONTINUE = {"continue_final_message": True, "add_generation_prompt": False}


class OpenAIModel:
    """Implements `Model`. `spent` is what all requests together took, retries included."""

    def __init__(
        self,
        model: str,
        *,
        base_urls: Sequence[str],
        identity: str | None,
        api_key_env: str | None,
        max_concurrency: int,
        timeout_seconds: float,
        attempts: int,
        max_requests: int | None,
        max_tokens: int | None,
        max_usd: float | None,
        usd_per_million_prompt_tokens: float,
        usd_per_million_completion_tokens: float,
        api_key: str | None = None,
        start_concurrency: int = START,
    ) -> None:
        """
        Args:
            model: the name under which the servers know the model.
            base_urls: replicas of one server, each with its `/v1`. A conversation stays at one of them.
            identity: what the ledger knows the model by, in place of the URLs; None takes the URLs.
            api_key_env: name of the environment variable with the key; None when the server wants none.
            max_concurrency: requests in flight at most, over all replicas.
            timeout_seconds: for one attempt, from sending to the last byte.
            attempts: tries of one request, the first included.
            max_requests, max_tokens, max_usd: caps on all that this object sends; None is no cap.
            usd_per_million_prompt_tokens, usd_per_million_completion_tokens: prices; 0 for an own server.
            api_key: a key made in this process, for a server that it started itself.
            start_concurrency: requests in flight at first; `max_concurrency` for a server of known capacity.

        Raises:
            ModelError: the environment variable is not set, or no URL was given.
        """
        if not base_urls:
            raise ModelError("An openai model needs at least one base URL; got none. Add one, with its /v1.")
        self._secret = api_key or _key(api_key_env)
        identified = [model, identity] if identity is not None else [model, *sorted(base_urls)]
        digest = hashlib.sha256(json.dumps(identified).encode()).hexdigest()[:DIGEST_HEX_DIGITS]
        self._fingerprint = f"openai:{digest}"
        self._model = model
        self._urls = tuple(base_urls)
        self._key_variable = api_key_env
        # The client wants some key even where the server wants none.
        self._clients = [
            openai.AsyncOpenAI(base_url=url, api_key=self._secret or "none", max_retries=0, timeout=timeout_seconds)
            for url in base_urls
        ]
        self._timeout = timeout_seconds
        self._attempts = attempts
        self._limit = AdaptiveLimit(max_concurrency, start_concurrency)
        self._budget = Budget(
            Caps(max_requests, max_tokens, max_usd),
            Prices(usd_per_million_prompt_tokens, usd_per_million_completion_tokens),
        )
        self._jitter = random.Random()
        self._limit_name = "max_tokens"  # some models insist on max_completion_tokens
        self._many = True  # whether the server gives several choices
        self._continues: bool | None = None  # whether it continues a prefill; None until asked
        self._asking = asyncio.Lock()

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    @property
    def spent(self) -> Usage:
        return self._budget.spent

    async def __aenter__(self) -> OpenAIModel:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        for client in self._clients:
            await client.close()

    async def sample(
        self,
        messages: Sequence[Message],
        *,
        n: int,
        sampling: Sampling,
        seed: int,
        prefill: str | None = None,
    ) -> Reply:
        """See `Model.sample`. `usage` counts every request sent for it, retries included."""
        sent = [cast("dict[str, Any]", {"role": message.role, "content": message.text}) for message in messages]
        extra: Mapping[str, Any] = {}
        honoured: Literal["continued", "prompted"] | None = None
        usages: list[Usage] = []
        most = most_prompt_tokens(messages, prefill)
        home = home_replica(messages, len(self._urls))
        if prefill:
            if await self._can_continue(home):
                sent, extra, honoured = [*sent, {"role": "assistant", "content": prefill}], CONTINUE, "continued"
            else:
                sent, honoured = with_prefill_in_prompt(sent, prefill), "prompted"
                most += len(PROMPTED_PREFILL)
        choices: list[Completion] = []
        while len(choices) < n:
            wanted = n - len(choices) if self._many else 1
            request = {
                "messages": sent,
                "n": wanted,
                "temperature": sampling.temperature,
                "top_p": sampling.top_p,
                "stop": list(sampling.stop) or None,
                "seed": (seed + len(choices)) % 2**SEED_BITS,  # a further request must not repeat the first one
                "extra_body": dict(extra),
            }
            answer = await self._ask(request, sampling.max_tokens, most, home, usages)
            if len(answer.choices) < wanted:
                self._many = False
            choices += completions(answer)[:wanted]
        if honoured == "prompted":
            choices = [without_prefill(choice, prefill or "") for choice in choices]
        return Reply(completions=tuple(choices), usage=total_usage(usages), prefill=honoured)

    async def _can_continue(self, home: int) -> bool:
        """Ask once whether the server continues an assistant message: then its prompt has no end of turn after that
        message and no new turn, so it counts fewer prompt tokens than the same request without the options."""
        async with self._asking:
            if self._continues is None:
                messages = [{"role": "user", "content": "Count."}, {"role": "assistant", "content": "One, two,"}]
                request = {"messages": messages, "n": 1, "temperature": 0.0, "extra_body": CONTINUE}
                most = 64
                try:
                    with_option = await self._ask(request, 1, most, home, [])
                    without = await self._ask({**request, "extra_body": {}}, 1, most, home, [])
                except _Unable:
                    self._continues = False
                else:
                    self._continues = prompt_tokens(with_option) < prompt_tokens(without)
            return self._continues

    async def _ask(
        self, request: dict[str, Any], max_tokens: int, most_prompt: int, home: int, usages: list[Usage]
    ) -> ChatCompletion:
        """Send one request until it is answered; append to `usages` what each attempt took.

        Raises:
            _Unable: the server refuses to continue a prefill.
            ModelError: anything else, in a sentence.
        """
        tried = 0
        while True:
            replica = (home + tried) % len(self._urls)
            worst = self._budget.usage(most_prompt, max_tokens * request["n"])
            started = time.monotonic()
            async with self._limit.slot(), self._budget.reserve(worst) as reservation:
                started = time.monotonic()
                try:
                    answer = await self._send(replica, {**request, self._limit_name: max_tokens})
                except Exception as caught:
                    error = caught
                    if isinstance(error, openai.APIStatusError):
                        reservation.settle(Usage(requests=1))  # refused requests are not billed
                    usages.append(reservation.taken)
                else:
                    reservation.settle(self._taken(answer.usage, worst))
                    usages.append(reservation.taken)
                    tokens = reservation.taken.completion_tokens // len(answer.choices)
                    self._limit.succeeded(time.monotonic() - started, tokens)
                    return answer
            if self._adapts(error, request):
                continue
            if request["extra_body"] and any(refuses(error, name) for name in CONTINUE):
                raise _Unable from error
            tried += 1
            await self._wait_or_give_up(error, replica, tried, started)

    def _adapts(self, error: Exception, request: dict[str, Any]) -> bool:
        """Learn from a refusal what the server cannot do; tell whether the request is worth sending again."""
        if self._limit_name == "max_tokens" and refuses(error, "max_completion_tokens"):
            self._limit_name = "max_completion_tokens"
            return True
        if request["n"] > 1 and refuses(error, "n"):
            self._many, request["n"] = False, 1
            return True
        return False

    async def _wait_or_give_up(self, error: Exception, replica: int, tried: int, started: float) -> None:
        failure = as_model_error(
            error,
            url=self._urls[replica],
            model=self._model,
            key_variable=self._key_variable,
            secret=self._secret,
        )
        asked = retry_after(error)
        if not is_passing(error) or (asked or 0) > LONGEST_WAIT_SECONDS:
            raise failure from error
        if tried >= self._attempts:
            raise type(failure)(f"{failure} It failed {tried} times in a row.") from error
        if is_overload(error):
            self._limit.overloaded(started)
        if asked is not None:
            self._limit.pause(asked)
        backoff = min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2 ** (tried - 1))
        await asyncio.sleep((asked or 0) + self._jitter.uniform(0, backoff))

    async def _send(self, replica: int, request: Mapping[str, Any]) -> ChatCompletion:
        create: Any = self._clients[replica].chat.completions.create
        try:
            # The client's own timeout is for one read, which a server that drips bytes never exceeds.
            async with asyncio.timeout(self._timeout):
                answer = await create(model=self._model, **request)
        except (openai.APIResponseValidationError, json.JSONDecodeError, UnicodeDecodeError) as error:
            raise BadAnswer(str(error)) from error
        if not isinstance(answer, ChatCompletion) or not answer.choices:
            raise BadAnswer(f"{str(answer)[:80]!r} has no choices")
        return answer

    def _taken(self, usage: CompletionUsage | None, worst: Usage) -> Usage:
        """Return what a request took; a server that does not say is taken to have used the most it could."""
        return worst if usage is None else self._budget.usage(usage.prompt_tokens, usage.completion_tokens)


class _Unable(Exception):
    """The server refused the options that continue a prefill."""


def _key(variable: str | None) -> str:
    if variable is None:
        return ""
    key = os.environ.get(variable, "")
    if not key:
        raise ModelError(
            f"The environment variable {variable} is not set; it should hold the key of the model's server. Set it in "
            "the shell that starts the pipeline, or give api_key_env: null for a server without keys."
        )
    return key
