"""The block `weights`: local models whose content decides, beside the parameters, when a stage reruns."""

from __future__ import annotations

from agentdistill.config.block import Block


class WeightsParams(Block):
    """Folders of local models, for dvc.yaml; `models/README.md` where a model is no local folder (a name on the hub, an
    API), because what DVC watches has to exist."""

    teacher: str
    student: str
