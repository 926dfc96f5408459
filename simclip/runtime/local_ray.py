"""The interface of workers, and what else keeps a Ray that a study starts for itself private: folder and token."""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import os
import secrets
import socket
import stat
import struct
from pathlib import Path

from simclip.errors import InputError

#: The longest name of a Unix socket, in bytes (Linux; the value for macOS is slightly smaller).
SOCKET_BYTES = 103
#: The longest name of a socket below Ray's folder.
SOCKET = "/session_2026-12-31_23-59-59_999999_4194304/sockets/plasma_store"
#: Environment variable that names the interface of gloo.
GLOO = "GLOO_SOCKET_IFNAME"
#: Linux's request for the IPv4 address of an interface, and where its answer has the address.
SIOCGIFADDR, ADDRESS = 0x8915, slice(20, 24)
#: Where Ray looks for the token of its clusters, below the home folder.
TOKEN_FILE = Path(".ray", "auth_token")


def prepare_private_ray() -> Path:
    """Prepare for a Ray to be started that serves this user and this machine alone; returns the folder for its files.

    Raises:
        InputError: The folder belongs to somebody else, or its path is too long.
    """
    folder = sessions_folder(Path(os.environ.get("RAY_TMPDIR") or "/tmp"))
    keep_token_private(Path.home() / TOKEN_FILE)
    for variable in (GLOO, "NCCL_SOCKET_IFNAME"):  # the workers of a trial talk to each other
        os.environ.setdefault(variable, _loopback())
    return folder


def sessions_folder(base: Path) -> Path:
    """Make a folder for Ray's sessions in one that only this user can enter, since Ray opens its own folder to all.

    Raises:
        InputError: What has its name belongs to somebody else, or its path is too long for Ray's sockets.
    """
    own = base.absolute() / f"simclip-{os.getuid()}"
    folder = own / "ray"
    if (length := len(os.fsencode(str(folder) + SOCKET))) > SOCKET_BYTES:
        raise InputError(
            f"RAY_TMPDIR={base}: the names of Ray's sockets would have {length} bytes there, but at most "
            f"{SOCKET_BYTES} are allowed: give a folder with a shorter path, such as /tmp"
        )
    with contextlib.suppress(FileExistsError):
        own.mkdir(0o700, parents=True)
    found = own.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise InputError(
            f"{own}: Ray's files go there, but it is not a folder of yours: remove it, or set RAY_TMPDIR to a folder "
            "that only you can write to"
        )
    own.chmod(0o700)
    folder.mkdir(exist_ok=True)
    return folder


def keep_token_private(path: Path) -> None:
    """Make the file of Ray's token readable by this user alone; creates it, since Ray would let everybody read it.

    A token from the environment, or a Ray without tokens, needs no file.
    """
    given = {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys()
    with contextlib.suppress(OSError):  # such as a home folder that cannot be written: Ray says so if it matters
        if path.is_file():
            path.chmod(0o600)
        elif not given and os.environ.get("RAY_AUTH_MODE", "token").lower() == "token":
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
                file.write(secrets.token_hex(32))


def reach_other_nodes(address: str, host: str) -> None:
    """Let this process's gloo listen where other nodes reach it, unless the environment says where.

    By itself gloo listens on the address that the host's name resolves to. On Debian that is 127.0.1.1, which no other
    node reaches. NCCL leaves out loopback by itself.

    Args:
        address: The IP address by which other nodes know this one.
        host: Name of this host.
    """
    try:
        resolved = ipaddress.ip_address(socket.gethostbyname(host))
    except OSError:
        return
    if resolved.is_loopback and not ipaddress.ip_address(address).is_loopback and (name := interface_of(address)):
        os.environ.setdefault(GLOO, name)


def interface_of(address: str) -> str | None:
    """The name of the interface with an IPv4 address; None if there is none, or the system is not Linux."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        for _, name in socket.if_nameindex():
            with contextlib.suppress(OSError):  # it has no such address
                answer = fcntl.ioctl(asking, SIOCGIFADDR, struct.pack("256s", os.fsencode(name)))
                if socket.inet_ntoa(answer[ADDRESS]) == address:
                    return name
    return None


def _loopback() -> str:
    """The name of the loopback interface: lo on Linux, lo0 on macOS."""
    return next((name for _, name in socket.if_nameindex() if name in ("lo", "lo0")), "lo")
