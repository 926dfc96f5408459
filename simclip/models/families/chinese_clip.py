"""Chinese-CLIP."""

from simclip.models.family import Family


class ChineseClipFamily(Family):
    """CLIP's image tower with BERT, read at the first token."""

    name = "chinese_clip"
