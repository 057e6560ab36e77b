"""The parts that several stages open from params.yaml: teacher, student, code tool, prompts, protocols."""

from __future__ import annotations

import resource
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agentdistill import retrieval, tools
from agentdistill.agent import Protocol
from agentdistill.agent.protocol import text_digest, tools_digest
from agentdistill.config import Params
from agentdistill.config.models import ModelParams
from agentdistill.errors import DataError
from agentdistill.models.factory import open_model
from agentdistill.models.ledger_model import LedgerModel
from agentdistill.prompts import agent_prompt, load_prompts
from agentdistill.protocols import Session, Tool
from agentdistill.records import content_id
from agentdistill.retrieval import LuceneRetriever
from agentdistill.sandbox import LedgerSession, Sandbox
from agentdistill.store.digest import digest_files
from agentdistill.store.ledger import Ledger
from agentdistill.tools.search import SearchTool
from tasks.journal import root

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

INDEX = Path("data/index")
LEDGER = Path(".cache/ledger.sqlite")
PROTOCOL_FILE = "protocol.json"
TOOLS = (SearchTool,)  # what the code can call besides final_answer


@dataclass(frozen=True)
class CodeTool:
    """The sandbox and the tools in it, over the index."""

    box: Sandbox
    tools: tuple[Tool, ...]
    index: str  # digest of the index and of how much of it the model sees
    ledger: Ledger
    fingerprint: str

    async def open(self) -> Session:
        """Start the session of one episode."""
        return LedgerSession(lambda: self.box.session(self.tools), self.ledger, self.fingerprint)


def open_teacher(params: Params) -> AbstractAsyncContextManager[LedgerModel]:
    """Open the teacher behind the ledger."""
    return open_block(params.teacher)


def open_student(params: Params, adapter: Path | None) -> AbstractAsyncContextManager[LedgerModel]:
    """Open the student behind the ledger, with an adapter or bare."""
    return open_block(params.student, adapter)


def open_block(config: ModelParams, adapter: Path | None = None) -> AbstractAsyncContextManager[LedgerModel]:
    """Open the model of a block of params.yaml behind the ledger; entering it raises `ModelError`."""
    options = config.model_dump(exclude={"backend"})
    if "environment" in options:  # a queued experiment runs in a copy of the checkout, which has no environments
        options["environment"] = str(root() / options["environment"])
    return open_model(config.backend, options, ledger=root() / LEDGER, adapter=adapter)


@asynccontextmanager
async def open_code_tool(params: Params) -> AsyncIterator[CodeTool]:
    """Start the sandbox and open the index.

    Raises:
        SandboxError: this machine offers no isolation and `sandbox.unsafe` does not allow to do without.
        RetrievalError: the index is missing, or there is no Java for it.
    """
    retriever = LuceneRetriever(INDEX, k1=params.search.k1, b=params.search.b)
    search = SearchTool(retriever, k=params.search.top_k, max_chars=params.search.max_chars)
    # An open episode takes three descriptors, and many systems allow a process 1,024 until it asks for more.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    index = content_id(retriever.fingerprint, params.search.top_k, params.search.max_chars)
    with Ledger(root() / LEDGER) as ledger:
        async with Sandbox(**params.sandbox.model_dump()) as box:
            answering = [digest_files(Path(*package.__path__), ("*.py",)) for package in (tools, retrieval)]
            fingerprint = f"code:{content_id(box.fingerprint, tools_digest(TOOLS), answering, index)}"
            ledger.name(fingerprint, "code tool")
            yield CodeTool(box, (search,), index, ledger, fingerprint)


def student_prompt(params: Params, form: str) -> str:
    """Return the system prompt of the student, the same in training and at test time; `form` is "cot" or "agent"."""
    prompts = load_prompts(params.prompts.set)
    return prompts.cot if form == "cot" else agent_prompt(prompts.agent_student, TOOLS, params.sandbox.allowed_imports)


def student_protocol(prompt: str, tokenizer: PreTrainedTokenizerBase, *, index: str | None) -> Protocol:
    """Return the protocol of a student; without an index it reasons in one turn and has no tools."""
    return Protocol(
        system_prompt=text_digest(prompt),
        tools=None if index is None else tools_digest(TOOLS),
        chat_template=text_digest(str(tokenizer.chat_template)),
        index=index,
    )


def read_protocol(path: Path) -> Protocol:
    """Read what `student_protocol` or a rollout stored.

    Raises:
        DataError: the file is missing or is not a protocol.
    """
    try:
        return Protocol.model_validate_json(path.read_bytes())
    except (OSError, ValueError) as e:
        raise DataError(f"The protocol file {path} cannot be read: {e}. Run the stage that makes it: dvc repro.") from e
