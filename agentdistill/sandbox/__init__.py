"""The code tool: a warm-fork sandbox with kernel isolation. See docs/code-tool.md."""

from agentdistill.sandbox.box import Sandbox
from agentdistill.sandbox.launch import Isolation
from agentdistill.sandbox.ledger_session import LedgerSession
from agentdistill.sandbox.session import Session

__all__ = ["Isolation", "LedgerSession", "Sandbox", "Session"]
