"""The kinds of evaluation sets, one module each. A new kind is a new module here; nothing else has to change."""
