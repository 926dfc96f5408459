"""The clusters page: clusters of your own data, before you spend time on training."""
