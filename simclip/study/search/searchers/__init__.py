"""The searchers: one module and one class each."""
