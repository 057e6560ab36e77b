"""Open a model of any backend from plain values, with the ledger around it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from agentdistill.errors import ModelError
from agentdistill.models.ledger_model import LedgerModel
from agentdistill.protocols import Model
from agentdistill.store.ledger import Ledger

if TYPE_CHECKING:
    from agentdistill.models.process_model import ProcessModel
    from agentdistill.models.transformers_model import TransformersModel

Backend = Literal["transformers", "openai", "vllm"]


@asynccontextmanager
async def open_model(
    backend: Backend,
    options: Mapping[str, Any],
    *,
    ledger: Path,
    adapter: Path | None = None,
) -> AsyncIterator[LedgerModel]:
    """Open a model, and close it, its server and the ledger at the end, whatever happens in between.

    Args:
        backend: which class; its module, and what that imports, is loaded only when it is asked for.
        options: the keyword arguments of the backend's class, adapter excepted.
        ledger: the ledger's file, made if absent.
        adapter: a folder with a LoRA adapter; not for "openai", whose server knows its adapters by name.

    Raises:
        ModelError: the model cannot be opened.
        DataError: the ledger cannot be opened.
    """
    async with AsyncExitStack() as stack:
        store = stack.enter_context(Ledger(ledger))
        model: Model
        match backend:
            case "transformers":
                model = await stack.enter_async_context(_transformers(**options, adapter=adapter))
            case "openai":
                from agentdistill.models.openai_model import OpenAIModel

                if adapter is not None:
                    raise ModelError(
                        f"An openai model takes no adapter; got {adapter}. Load it in the server and give the name "
                        "that the server has for it, or use the vllm backend."
                    )
                model = await stack.enter_async_context(OpenAIModel(**options))
            case "vllm":
                from agentdistill.models.vllm_model import VllmModel

                model = await stack.enter_async_context(VllmModel(**options, adapter=adapter))
        what = options["model" if backend == "openai" else "path"]
        store.name(model.fingerprint, f"{backend} {what}" if adapter is None else f"{backend} {what} with {adapter}")
        yield LedgerModel(model, store)


def _transformers(*, processes: int, **options: Any) -> TransformersModel | ProcessModel:
    if processes > 1:
        from agentdistill.models.process_model import ProcessModel

        return ProcessModel(processes=processes, **options)
    from agentdistill.models.transformers_model import TransformersModel

    return TransformersModel(**options)
