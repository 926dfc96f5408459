"""The fields of a training run, a module for each group of them; `TrainConfig` puts them together."""
