"""What is a URI and not a path; and that none holds a secret."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from simclip.errors import InputError

#: A name in a URI's query whose value is secret.
SECRET = re.compile(r"(^|[&;])[^=&;]*(key|secret|token|password|signature|sig)=", re.I)


def is_uri(place: str | Path) -> bool:
    """Whether a place is a URI, e.g. in a bucket, and not a path."""
    return "://" in str(place)


def refuse_secret(uri: str) -> None:
    """Refuse a URI that holds a secret, without repeating it.

    Raises:
        InputError: It holds one.
    """
    parts = urlsplit(uri)
    if parts.password or SECRET.search(parts.query):
        raise InputError(
            f"{parts.scheme}://{parts.hostname}: the URI holds a password or key, which commands, logs and records "
            "would repeat: leave it out and set it in the environment (for s3:// AWS_SECRET_ACCESS_KEY)"
        )
