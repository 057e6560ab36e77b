"""The errors this library raises on purpose.

Each message is one or more full sentences: what was wrong, what was got, what to change. Stages print the message
alone, without a traceback, and exit with status 1; anything that is not an `AgentDistillError` is a bug and keeps its
traceback.
"""


class AgentDistillError(Exception):
    """Base of every error that a user can act on."""


class ConfigError(AgentDistillError):
    """params.yaml is not what the code expects: unknown or missing key, wrong type, impossible value."""


class DataError(AgentDistillError):
    """A dataset, corpus or intermediate file is missing, broken or empty."""


class ModelError(AgentDistillError):
    """A model cannot be loaded or reached, or its server answered with an error that retrying does not mend."""


class BudgetExceeded(ModelError):
    """A cap on requests, tokens or dollars would be passed by the next request, which was not sent."""


class ModelUnusable(ModelError):
    """No request to this model can succeed until its user changes something: the key, the name, the account."""


class ContextOverflow(ModelError):
    """The prompt and the tokens asked for do not fit into the model's context window."""


class SandboxError(AgentDistillError):
    """The sandbox's own machinery failed. What model-written code does wrong is an `Outcome`, never this."""


class NoIsolation(SandboxError):
    """No permitted rung of isolation holds on this machine, so no model-written code is run."""


class RetrievalError(AgentDistillError):
    """The index is missing or broken, or its Java runtime cannot be started."""


class GradingError(AgentDistillError):
    """The grader itself failed; the answer in question is ungraded, not wrong."""


class ProtocolMismatch(AgentDistillError):
    """Rollout, training and evaluation disagree on prompt, tools, chat template or index."""
