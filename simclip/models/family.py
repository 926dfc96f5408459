"""Family: the interface that every model family implements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedTokenizerBase

Tower = Literal["image", "text"]
TOWERS: tuple[Tower, ...] = ("image", "text")


class Family:
    """Base class of the families. Its methods are those of CLIP and the relatives that have CLIP's towers and loss.

    Every family has `get_image_features` and `get_text_features`, towers named `vision_model` and `text_model`, and a
    `logit_scale`. Model folders are checked without torch: modules of families do not import it.
    """

    #: The family's `model_type` in config.json.
    name: ClassVar[str]
    #: The losses that it can learn by (see `simclip.models.loss`), its own first.
    losses: ClassVar[tuple[str, ...]] = ("infonce",)
    #: Whether its text tower takes a mask of the padding.
    masked: ClassVar[bool] = True
    #: Whether captions are padded to the longest possible, because the text tower sees the padding.
    padded: ClassVar[bool] = False
    #: Whether it was trained on captions in lower case, whatever its tokenizer does.
    lower_case: ClassVar[bool] = False
    #: Whether OpenCLIP has the same towers, layer by layer.
    exported: ClassVar[bool] = False

    def check(self, config: Any) -> None:
        """Check that a model of the family can be trained.

        Raises:
            ValueError: Its images are not squares.
        """
        for field in ("image_size", "patch_size"):
            if not isinstance(size := getattr(config.vision_config, field), int):
                raise ValueError(f"its config.json says {field} {size}, but only squares are supported: one number")

    def check_tokenizer(self, tokenizer: PreTrainedTokenizerBase, config: Any) -> None:
        """Check that the model reads captions where the tokenizer's ends them.

        Raises:
            ValueError: It does not, so that all captions would have the same embedding.
        """

    def most_positions(self, config: Any) -> int:
        """Maximum number of tokens in a caption, by the positions of the text tower."""
        return int(config.text_config.max_position_embeddings)

    def dimension(self, config: Any) -> int:
        """Length of an embedding."""
        return int(config.projection_dim)

    def initialise(self, model: Any) -> None:
        """Set what random weights from transformers leave at other values than the family begins with, in place."""

    def parts(self, model: Any, tower: Tower) -> tuple[nn.Module, ...]:
        """A tower and its projection."""
        if tower == "image":
            return model.vision_model, model.visual_projection
        return model.text_model, model.text_projection

    def logit_parameters(self, model: Any) -> Tensor:
        """What the loss takes besides the embeddings: the factor of the cosines, a scalar."""
        factor: Tensor = model.logit_scale.exp()
        return factor


def check_end(tokenizer: PreTrainedTokenizerBase, end: int, read: int, where: str) -> None:
    """Check that captions end with the token that a model takes their embedding from.

    Args:
        tokenizer: The tokenizer.
        end: The model's eos_token_id.
        read: The token that it reads.
        where: This token, in words.

    Raises:
        ValueError: They do not.
    """
    ids = tokenizer("a")["input_ids"]
    if read not in ids or ids.index(read) != len(ids) - 1:
        raise ValueError(f"its captions end with token {ids[-1]}, but by eos_token_id {end} the model reads {where}")
