"""Sentences and figures, the same wherever they are shown."""
