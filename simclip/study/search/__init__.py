"""Which arms run, in which order, and which are stopped early: searchers and ASHA."""
