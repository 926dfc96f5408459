"""One training run, from its configuration to a history of epochs and checkpoints."""
