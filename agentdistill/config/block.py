"""What every block of params.yaml has in common, and the number types they share."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Block(BaseModel):
    """Frozen, unknown keys refused, and no defaults in subclasses: every number stands in params.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=1 << 32)]  # what numpy takes
Fraction = Annotated[float, Field(ge=0, le=1)]
PartOf = Annotated[float, Field(ge=0, lt=1)]  # a share that leaves something
Positive = Annotated[float, Field(gt=0)]
Temperature = Annotated[float, Field(ge=0)]
TopP = Annotated[float, Field(gt=0, le=1)]
