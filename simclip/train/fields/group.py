"""What the groups of fields have in common."""

from __future__ import annotations

from simclip.config.schema import Strict


class FieldGroup(Strict):
    """Some fields of a training run, with the checks among them."""

    def _check(self) -> None:
        """Check that the fields fit together. A group that overrides this calls `super()._check()` too.

        Raises:
            ValueError: Two fields contradict each other.
        """
