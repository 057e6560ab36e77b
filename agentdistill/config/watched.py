"""The block `watched`: files of the user's whose content decides, beside the parameters, when a stage reruns."""

from __future__ import annotations

from agentdistill.config.block import Block


class WatchedParams(Block):
    """Files or folders, for dvc.yaml: local models, the folder of own questions and corpus, own prompts;
    `models/none` where there are none of one's own (a name on the hub, an API), because what DVC watches has to
    exist."""

    teacher: str
    student: str
    judge: str
    data: str
    prompts: str
