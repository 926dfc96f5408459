"""The clusters page: what clusters of one's own data look like, before anything is spent on training."""
