"""Any OpenAI-compatible chat endpoint: a hosted API, a gateway, a vLLM server.

What a server can do is found out, not assumed: several choices in one request, continuing a prefill, the name of the
token limit, whether it takes a seed and stop strings. Requests are retried with exponential backoff and jitter, sent at
a rate that adapts to the server (`concurrency.py`) and never past the caps (`budget.py`). The key comes from the
environment and goes nowhere else.

Not promised: that a hosted model answers the same request alike twice. The ledger is what makes a rerun exact.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import time
from collections.abc import Mapping, Sequence
from typing import Any, Self

import openai

from agentdistill.errors import ModelError, ModelUnusable
from agentdistill.models.budget import Budget, Caps, Prices, most_prompt_tokens
from agentdistill.models.chat import (
    PROMPTED_PREFILL,
    Answer,
    InBandError,
    cut_at_stop,
    home_replica,
    read_answer,
    with_prefill_in_prompt,
)
from agentdistill.models.client import open_client, read_key
from agentdistill.models.concurrency import START, AdaptiveLimit
from agentdistill.models.dialect import Dialect
from agentdistill.models.in_parts import in_parts
from agentdistill.models.server_errors import (
    BadAnswer,
    as_model_error,
    is_free,
    is_overload,
    is_passing,
    is_refusal,
    refuses,
    retry_after,
)
from agentdistill.records import Completion, Message, Reply, Sampling, Usage, total_usage
from agentdistill.store.digest import DIGEST_HEX_DIGITS

FIRST_BACKOFF_SECONDS = 0.5
LONGEST_BACKOFF_SECONDS = 60.0
LONGEST_WAIT_SECONDS = 600.0  # a server that asks for more is asked nothing further
SEED_BITS = 31  # what every server takes
CONTINUE = {"continue_final_message": True, "add_generation_prompt": False}
PROBE_TOKENS = 16  # the fewest that every server permits
COPY_HEADER = "X-data-parallel-rank"  # vLLM's: which of the model's copies behind one address is to answer


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
        fixed_sampling: bool,
        api_key: str | None = None,
        start_concurrency: int = START,
        copies: int = 1,
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
            fixed_sampling: send neither temperature nor top_p, to a model that refuses all but its own.
            api_key: a key made in this process, for a server that it started itself.
            start_concurrency: requests in flight at first; `max_concurrency` for a server of known capacity.
            copies: of the model behind each URL of a vLLM server. A conversation stays at one of them, too.

        Raises:
            ModelError: the environment variable is not set or holds no key, or no URL was given.
        """
        if not base_urls:
            raise ModelError("An openai model needs at least one base URL; got none. Add one, with its /v1.")
        self._secret = api_key or read_key(api_key_env)
        identified = [model, identity] if identity is not None else [model, *sorted(base_urls)]
        identified += ["fixed_sampling"] if fixed_sampling else []
        digest = hashlib.sha256(json.dumps(identified).encode()).hexdigest()[:DIGEST_HEX_DIGITS]
        self._fingerprint = f"openai:{digest}"
        self._model = model
        self._urls = tuple(base_urls)
        self._copies = copies
        self._key_variable = api_key_env
        self._clients = [open_client(url, self._secret, timeout_seconds) for url in base_urls]
        self._timeout = timeout_seconds
        self._attempts = attempts
        self._limit = AdaptiveLimit(max_concurrency, start_concurrency)
        self._budget = Budget(
            Caps(max_requests, max_tokens, max_usd),
            Prices(usd_per_million_prompt_tokens, usd_per_million_completion_tokens),
        )
        self._jitter = random.Random()
        self._fixed_sampling = fixed_sampling
        self._dialect = Dialect()
        self._continues: bool | None = None  # whether it continues a prefill; None until asked
        self._asking = asyncio.Lock()
        self._unusable: str | None = None  # the sentence that every further request would end with

    @classmethod
    def of_own_server(
        cls,
        model: str,
        url: str,
        *,
        identity: str,
        api_key: str,
        max_concurrency: int,
        timeout_seconds: float,
        attempts: int,
        copies: int = 1,
    ) -> Self:
        """Return a client of a server of this machine: free, without caps, and itself the one that queues."""
        return cls(
            model,
            base_urls=[url],
            identity=identity,
            api_key_env=None,
            api_key=api_key,
            max_concurrency=max_concurrency,
            start_concurrency=max_concurrency,
            timeout_seconds=timeout_seconds,
            attempts=attempts,
            copies=copies,
            max_requests=None,
            max_tokens=None,
            max_usd=None,
            usd_per_million_prompt_tokens=0.0,
            usd_per_million_completion_tokens=0.0,
            fixed_sampling=False,
        )

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
        first: int = 0,
        prefill: str | None = None,
    ) -> Reply:
        """See `Model.sample`. `usage` counts every request sent for it, retries included."""

        async def ask(drawn: int, anew: bool) -> Reply:
            return await self.sample_some(
                messages, n=n - drawn, sampling=sampling, seed=seed, first=first + drawn, prefill=prefill
            )

        return await in_parts(n, ask)

    async def sample_some(
        self,
        messages: Sequence[Message],
        *,
        n: int,
        sampling: Sampling,
        seed: int,
        first: int = 0,
        prefill: str | None = None,
    ) -> Reply:
        """See `InParts.sample_some`. `usage` counts every request sent for it, retries included."""
        sent: list[dict[str, Any]] = [{"role": message.role, "content": message.text} for message in messages]
        most = most_prompt_tokens(messages, prefill)
        home = home_replica(messages, len(self._urls) * self._copies)
        wanted = n if self._dialect.many else 1
        usages: list[Usage] = []

        async def draw(said: list[dict[str, Any]], extra: Mapping[str, Any]) -> tuple[Completion, ...]:
            request = {
                "messages": said,
                "n": wanted,
                "seed": (seed + first) % 2**SEED_BITS,  # vLLM's choice i has seed + i
                "extra_body": dict(extra),
            }
            if sampling.stop:
                request["stop"] = list(sampling.stop)
            if not self._fixed_sampling:
                request |= {"temperature": sampling.temperature, "top_p": sampling.top_p}
            answer = await self._ask(request, sampling.max_tokens, most, home, usages)
            if len(answer.completions) < wanted:
                self._dialect.many = False
            return tuple(cut_at_stop(choice, sampling.stop) for choice in answer.completions[:wanted])

        if not prefill:
            return Reply(completions=await draw(sent, {}), usage=total_usage(usages))
        if await self._can_continue(home):
            try:
                drawn = await draw([*sent, {"role": "assistant", "content": prefill}], CONTINUE)
            except _Unable:
                self._continues = False  # another replica cannot, or not after this conversation
            else:
                return Reply(completions=drawn, usage=total_usage(usages), prefill="continued")
        most += len(PROMPTED_PREFILL)
        drawn = await draw(with_prefill_in_prompt(sent, prefill), {})
        return Reply(completions=drawn, usage=total_usage(usages), prefill="prompted")

    async def _can_continue(self, home: int) -> bool:
        """Ask once whether the server continues an assistant message: then its prompt has no end of turn after that
        message and no new turn, so it counts fewer prompt tokens than the same request without the options."""
        async with self._asking:
            if self._continues is None:
                messages = [{"role": "user", "content": "Count."}, {"role": "assistant", "content": "One, two,"}]
                request = {"messages": messages, "n": 1, "extra_body": CONTINUE}
                most = 64
                try:
                    with_option = await self._ask(request, PROBE_TOKENS, most, home, [])
                    without = await self._ask({**request, "extra_body": {}}, PROBE_TOKENS, most, home, [])
                except ModelError as error:
                    if not is_refusal(error.__cause__):
                        raise
                    self._continues = False
                except _Unable:
                    self._continues = False
                else:
                    self._continues = (with_option.prompt_tokens or 0) < (without.prompt_tokens or 0)
            return self._continues

    async def _ask(
        self, request: dict[str, Any], max_tokens: int, most_prompt: int, home: int, usages: list[Usage]
    ) -> Answer:
        """Send one request until it is answered; append to `usages` what each attempt took.

        Raises:
            _Unable: the server refuses to continue a prefill.
            ModelError: anything else, in a sentence.
        """
        tried = 0
        refused: set[str] = set()  # by this request; that it was for them is known when one without them is answered
        while True:
            replica = (home + tried) % len(self._urls)
            worst = self._budget.usage(most_prompt, max_tokens * request["n"])
            async with self._limit.slot():
                if self._unusable is not None:
                    raise ModelUnusable(self._unusable)
                # Chosen now: what others have learnt while this one waited holds for it as well.
                fields = self._dialect.fields(request, max_tokens, refused)
                async with self._budget.reserve(worst) as reservation:
                    started = time.monotonic()
                    try:
                        answer = await self._send(replica, home // len(self._urls), fields)
                    except Exception as caught:
                        error = caught
                        if is_free(error):
                            reservation.settle(Usage(requests=1))
                        usages.append(reservation.taken)
                    else:
                        reservation.settle(self._taken(answer, worst))
                        usages.append(reservation.taken)
                        tokens = reservation.taken.completion_tokens // len(answer.completions)
                        self._limit.succeeded(time.monotonic() - started, tokens)
                        self._dialect.confirm(refused)
                        return answer
            if self._dialect.adapts(error, request, fields, refused):
                continue
            if request["extra_body"] and any(refuses(error, name) for name in CONTINUE):
                raise _Unable from error
            tried += 1
            await self._wait_or_give_up(error, replica, tried, started)

    async def _wait_or_give_up(self, error: Exception, replica: int, tried: int, started: float) -> None:
        failure = as_model_error(
            error,
            url=self._urls[replica],
            model=self._model,
            key_variable=self._key_variable,
            secret=self._secret,
        )
        asked = retry_after(error) or 0.0
        if is_passing(error) and asked > LONGEST_WAIT_SECONDS:
            failure = ModelUnusable(f"{failure} It asks to wait for {asked:.0f} seconds: run the stage again then.")
        if isinstance(failure, ModelUnusable):
            self._unusable = str(failure)
            raise failure from error
        if not is_passing(error):
            raise failure from error
        if is_overload(error):
            self._limit.overloaded(started)
        if asked:
            self._limit.pause(asked)
        if tried >= self._attempts:
            raise type(failure)(f"{failure} It failed {tried} times in a row.") from error
        backoff = min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2 ** (tried - 1))
        await asyncio.sleep(asked + self._jitter.uniform(0, backoff))

    async def _send(self, replica: int, copy: int, fields: Mapping[str, Any]) -> Answer:
        body = {"model": self._model, **fields}
        body |= body.pop("extra_body")
        # `chat.completions.create` would look at every part of the body, a fifth of the processor's time of a request.
        post = self._clients[replica].post(
            "/chat/completions",
            cast_to=openai.HttpxBinaryResponseContent,
            body=body,
            options={"headers": {COPY_HEADER: str(copy)}} if self._copies > 1 else {},
        )
        # The client's own timeout is for one read, which a server that drips bytes never exceeds.
        async with asyncio.timeout(self._timeout):
            received = await post
        try:
            return read_answer(received.content)
        except InBandError as error:
            received.response.status_code = error.code
            raise openai.APIStatusError(str(error), response=received.response, body=error.body) from error
        except ValueError as error:
            raise BadAnswer(str(error)) from error

    def _taken(self, answer: Answer, worst: Usage) -> Usage:
        """Return what a request took; a server that does not say is taken to have used the most it could."""
        if answer.prompt_tokens is None or answer.completion_tokens is None:
            return worst
        return self._budget.usage(answer.prompt_tokens, answer.completion_tokens)


class _Unable(Exception):
    """The server refused the options that continue a prefill."""
