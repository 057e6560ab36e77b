"""The stages, one module each. The settings stand here because libraries read them when they are first imported."""

import os

# Nothing reports usage to its maker, and what a stage prints is its own.
for _key, _value in {
    "DO_NOT_TRACK": "true",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "TOKENIZERS_PARALLELISM": "false",  # a tokenizer that forks after threads have started warns at every fork
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
}.items():
    os.environ.setdefault(_key, _value)
