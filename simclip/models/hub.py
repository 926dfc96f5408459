"""The Hugging Face hub: whether it can be reached, before its library retries for half a minute."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache

from simclip.models.model_folder import is_local
from simclip.models.open_clip.config import CONFIG

#: Files of which the cache has at least one, if it has a model or a preprocessor.
FILES = ("config.json", CONFIG, "preprocessor_config.json", "tokenizer_config.json")


def check_reachable(name: str) -> None:
    """Refuse a hub name at once if nothing of it is in the hub's cache and there is no connection to the hub.

    Everything else, such as a name that the hub does not know, is found out when the model is loaded.

    Args:
        name: Hub name; local names are left alone.

    Raises:
        ConnectionError: There is no connection.
    """
    if is_local(name) or Path(name).exists():
        return
    if any(try_to_load_from_cache(name, file) is not None for file in FILES):
        return
    try:
        get_hf_file_metadata(hf_hub_url(name, FILES[0]))
    except Exception as error:
        if type(error).__name__ == "ConnectError":  # of whichever library the hub's library uses
            reason = " ".join(str(error).split())
            raise ConnectionError(f"there is no connection to the hub, {reason}, and no copy on this machine") from None
