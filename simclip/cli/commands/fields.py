"""`tune.py fields`."""

from __future__ import annotations

from simclip.cli.exits import DONE
from simclip.cli.output import say
from simclip.cli.terminal.safe_console import SafeConsole
from simclip.study.spec.study import StudyConfig
from simclip.study.spec.typed_values import STUDY_FIELDS
from simclip.train.config import TrainConfig


def fields() -> int:
    """List the fields of a study file; a study can search every field of `train`."""
    console = SafeConsole()
    for title, schema, elsewhere in (("train", TrainConfig, STUDY_FIELDS), ("study", StudyConfig, ["train"])):
        say(console, f"\n{title}:")
        for name, field in schema.model_fields.items():
            if name in elsewhere:
                continue
            default = "" if field.is_required() else f" = {field.get_default(call_default_factory=True)}"
            say(console, f"  {name}{default}{f'  # {field.description}' if field.description else ''}")
    return DONE
