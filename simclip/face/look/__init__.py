"""A look at the clusters of one's own data, before anything is spent on training with them."""

from simclip.face.look.command import clusters

__all__ = ["clusters"]
