"""A model in this process, through transformers: the embedded default, and enough for one GPU.

Concurrent requests are merged into one continuously refilled batch (`engine.py`) on a worker thread. A sample depends
on its own request only, never on what shared the batch: see `sampling.py` for the noise and `kv_cache.py` for the
arithmetic, exact on a CPU in float32 and to rounding elsewhere.
"""

from __future__ import annotations

import asyncio
import copy
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from jinja2 import TemplateError

from agentdistill.errors import ContextOverflow, ModelError, ModelUnusable
from agentdistill.models.adapter import require_same_base
from agentdistill.models.engine import Engine, Generated, Job
from agentdistill.models.loading import first_line, load_model, stop_tokens
from agentdistill.models.tokenizer import load_tokenizer
from agentdistill.models.weights import engine_fingerprint, find_model
from agentdistill.records import Completion, Message, Reply, Sampling, Usage


class TransformersModel:
    """Implements `Model`. Use it as an async context manager, or call `close` at the end."""

    def __init__(
        self,
        path: str,
        *,
        adapter: Path | None = None,
        dtype: str,
        device: str,
        threads: int,
        max_rows: int,
        prompt_tokens_per_step: int,
        prefix_cache_tokens: int,
    ) -> None:
        """Load the model, merge the adapter into its weights and start the worker thread.

        Args:
            path: a folder, or the owner/name of a model on the Hugging Face hub.
            adapter: a folder with a LoRA adapter made by PEFT for this very model.
            dtype: "float32", "bfloat16" or "float16".
            device: a torch device such as "cpu" or "cuda".
            threads: torch threads on a CPU.
            max_rows: samples decoded at once.
            prompt_tokens_per_step: bound on the prompt tokens of one forward pass.
            prefix_cache_tokens: prompt tokens whose keys and values are kept for later requests.

        Raises:
            ModelError: the model or adapter cannot be loaded.
        """
        folder = find_model(path)
        self._fingerprint = engine_fingerprint(folder, adapter, dtype)
        if adapter is not None:
            require_same_base(path, adapter)
        model = load_model(folder, adapter, dtype, device)
        self.tokenizer: Any = load_tokenizer(str(folder))
        self.context_tokens: int = model.config.max_position_embeddings
        self._path = path
        self._max_rows = max_rows
        # The worker decodes while the event loop encodes; a tokenizer must not be used by two threads at once.
        self._worker_tokenizer: Any = copy.deepcopy(self.tokenizer)
        self._token_texts: dict[int, str] = {}
        try:
            self._engine = Engine(
                model,
                stop_tokens=stop_tokens(model, self.tokenizer),
                max_rows=max_rows,
                prompt_tokens_per_step=prompt_tokens_per_step,
                prefix_cache_tokens=prefix_cache_tokens,
            )
        except (RuntimeError, MemoryError, AttributeError) as error:  # torch lacks memory by a RuntimeError
            raise ModelError(
                f"{folder} is loaded, but cannot be served on {device}: {first_line(error)}. If it is memory, lower "
                "prefix_cache_tokens and max_rows; if the architecture, use the vllm backend."
            ) from error
        self._arrived: deque[tuple[Job, Callable[[BaseException], None]]] = deque()
        self._wake = threading.Condition()
        self._closed = False
        self._failure: ModelError | None = None
        self._worker = threading.Thread(target=self._work, args=(threads,), name="transformers-model", daemon=True)
        self._worker.start()

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    async def __aenter__(self) -> TransformersModel:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        """Stop the worker thread; requests in flight fail."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._worker.join()

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
        """See `Model.sample`. Sample i of a seed is the same whatever `n` and `first` are."""
        prompt = self._encode(messages, prefill)
        if len(prompt) + sampling.max_tokens > self.context_tokens:
            raise ContextOverflow(
                f"The prompt has {len(prompt)} tokens and {sampling.max_tokens} more were asked for; {self._path} "
                f"holds {self.context_tokens}. Lower max_tokens, or stop the conversation earlier."
            )
        if n > self._max_rows:
            raise ModelError(f"{n} samples were asked for, but max_rows is {self._max_rows}. Raise max_rows.")
        samples = await self._generate(prompt, n, sampling, seed, first)
        completions = tuple(
            Completion(
                text=self._text(prompt[-1], sample.tokens, sampling.stop),
                truncated=sample.truncated,
                completion_tokens=len(sample.tokens),
            )
            for sample in samples
        )
        generated = sum(completion.completion_tokens for completion in completions)
        usage = Usage(requests=1, prompt_tokens=len(prompt), completion_tokens=generated)
        return Reply(completions=completions, usage=usage, prefill="continued" if prefill else None)

    async def _generate(self, prompt: list[int], n: int, sampling: Sampling, seed: int, first: int) -> list[Generated]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Generated]] = loop.create_future()

        def settle(samples: list[Generated] | BaseException) -> None:
            if future.done():
                return
            if isinstance(samples, BaseException):
                future.set_exception(samples)
            else:
                future.set_result(samples)

        def report(samples: list[Generated] | BaseException) -> None:
            loop.call_soon_threadsafe(settle, samples)

        job = Job(
            prompt=prompt,
            n=n,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=sampling.max_tokens,
            seed=seed,
            first=first,
            ended=self._stopper(prompt[-1], sampling.stop),
            done=report,
        )
        with self._wake:
            if self._failure is not None or self._closed:
                raise self._failure or ModelError(f"The model {self._path} is closed. Ask before closing it.")
            self._arrived.append((job, report))
            self._wake.notify()
        try:
            return await future
        finally:
            job.cancelled = True  # harmless when it is done

    def _encode(self, messages: Sequence[Message], prefill: str | None) -> list[int]:
        conversation = [{"role": message.role, "content": message.text} for message in messages]
        try:
            text = self.tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True)
        except TemplateError as error:
            raise ModelError(
                f"The chat template of {self._path} refuses the conversation: {first_line(error)}. Set prompts that it "
                "takes, or another model."
            ) from error
        ids: list[int] = self.tokenizer.encode(text + (prefill or ""), add_special_tokens=False)
        return ids

    def _text(self, before: int, tokens: list[int], stop: Sequence[str]) -> str:
        text = _decode(self.tokenizer, before, tokens)
        ends = [text.find(string) for string in stop if string in text]
        return text[: min(ends)] if ends else text

    def _stopper(self, before: int, stop: Sequence[str]) -> Callable[[list[int]], bool]:
        """Return a test for the end of a sample that decodes it only when its last token can complete a stop string."""
        endings = {string[-1] for string in stop} | {"\N{REPLACEMENT CHARACTER}"}  # a piece of a character
        tokenizer = self._worker_tokenizer

        def ended(tokens: list[int]) -> bool:
            last = tokens[-1]
            if last not in self._token_texts:
                self._token_texts[last] = tokenizer.decode([last])
            if endings.isdisjoint(self._token_texts[last]):
                return False
            text = _decode(tokenizer, before, tokens)
            return any(string in text for string in stop)

        return ended if stop else lambda _: False

    def _work(self, threads: int) -> None:
        """Feed the engine until `close`; a failure of the engine is the failure of everything that is in flight."""
        torch.set_num_threads(threads)
        inflight: list[tuple[Job, Callable[[BaseException], None]]] = []
        try:
            while True:
                with self._wake:
                    while not (self._arrived or self._engine.busy or self._closed):
                        self._wake.wait()
                    if self._closed:
                        raise ModelError(f"The model {self._path} was closed while this request was in flight.")
                    arrived = list(self._arrived)
                    self._arrived.clear()
                inflight = [pair for pair in inflight if not pair[0].cancelled] + arrived
                self._engine.waiting.extend(job for job, _ in arrived)
                self._engine.step()
        except Exception as error:
            failure = error if isinstance(error, ModelError) else _engine_failure(self._path, error)
            with self._wake:
                self._failure = failure
                inflight += self._arrived
            for _, failed in inflight:
                failed(failure)


def _decode(tokenizer: Any, before: int, tokens: list[int]) -> str:
    """Return the text of `tokens` after the token `before`: some tokenizers drop a leading space at the start."""
    options = {"skip_special_tokens": True, "clean_up_tokenization_spaces": False}
    start: str = tokenizer.decode([before], **options)
    both: str = tokenizer.decode([before, *tokens], **options)
    return both[len(start) :]


def _engine_failure(path: str, error: Exception) -> ModelUnusable:
    if isinstance(error, torch.OutOfMemoryError):
        advice = "Lower max_rows, prompt_tokens_per_step or prefix_cache_tokens"
        failure = ModelUnusable(f"{path} ran out of memory while generating: {first_line(error)}. {advice}.")
    elif isinstance(error, FloatingPointError):
        failure = ModelUnusable(
            f"{path} gives no numbers: {first_line(error)}. Set dtype: bfloat16, or float32 where that is slow. If it "
            "has one of them, the weights, or those of the adapter, are broken."
        )
    else:
        failure = ModelUnusable(f"{path} failed while generating: {type(error).__name__}: {first_line(error)}.")
    failure.__cause__ = error
    return failure
