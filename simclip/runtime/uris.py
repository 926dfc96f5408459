"""URIs that fsspec opens: what is in a bucket, with no secret in its address and one line for every error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from simclip.config.uris import refuse_secret
from simclip.errors import InputError, full_disk_error


def open_uri(uri: str) -> tuple[Any, str]:
    """The file system of a URI, and the path in it.

    Raises:
        InputError: The URI holds a secret, the package for its kind is missing, or fsspec does not know its kind.
    """
    import fsspec

    refuse_secret(uri)
    try:
        files, path = fsspec.core.url_to_fs(uri)
    except ImportError as error:
        raise InputError(f"{uri}: {' '.join(str(error).split())} (pip install it on every node)") from None
    except ValueError as error:
        raise InputError(f"{uri}: {error}; expected a folder, or a URI such as s3://bucket/results") from None
    return files, str(path)


@contextmanager
def in_one_line(place: object) -> Iterator[None]:
    """Turn any exception of a bucket's library into an InputError of one line; a full disk stays an OSError."""
    try:
        yield
    except Exception as error:
        if isinstance(error, InputError) or full_disk_error(error):
            raise
        said = " ".join(str(error).split()) or "no reason given"
        raise InputError(
            f"{place}: {type(error).__name__}: {said}; address and credentials come from the environment "
            "of every node (for s3:// AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, ...)"
        ) from error
