"""Prefect over the DVC graph. The settings stand here because Prefect reads them when it is first imported."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Nothing reports usage to its maker, and Prefect's own database stays in the checkout unless the user has chosen one.
for _key, _value in {
    "DO_NOT_TRACK": "true",
    "DVC_NO_ANALYTICS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # eight processes for features that nothing here uses
    "PREFECT_HOME": str(ROOT / ".cache" / "prefect"),
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",  # its first start makes a database
}.items():
    os.environ.setdefault(_key, _value)
# Prefect makes this folder but not the one above it, which a fresh clone lacks.
Path(os.environ["PREFECT_HOME"]).expanduser().mkdir(parents=True, exist_ok=True)
