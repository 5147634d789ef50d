"""What can go wrong, as exceptions.

Every error of Cairn is a :class:`CairnError`; each subclass is also the built-in exception that fits it best, so
that code written for files (``except FileNotFoundError``) works unchanged.
"""

from __future__ import annotations

import errno as _errno

__all__ = [
    "Aborted",
    "AlreadyExists",
    "CairnError",
    "DataLoss",
    "DeadlineExceeded",
    "FailedPrecondition",
    "InvalidArgument",
    "NotFound",
    "OutOfRange",
    "ResourceExhausted",
    "Unavailable",
]


class CairnError(Exception):
    """Base of all errors of Cairn. ``code`` is the canonical name of the status, such as ``"NOT_FOUND"``."""

    code: str = "UNKNOWN"


class NotFound(CairnError, FileNotFoundError):
    """No such bucket, file or checkpoint."""

    code = "NOT_FOUND"


class AlreadyExists(CairnError, FileExistsError):
    """The name is taken."""

    code = "ALREADY_EXISTS"


class InvalidArgument(CairnError, ValueError):
    """A bad name, memory that cannot be used in place, a number out of bounds."""

    code = "INVALID_ARGUMENT"


class OutOfRange(InvalidArgument):
    """A range that ends past the end of the file."""

    code = "OUT_OF_RANGE"


class FailedPrecondition(CairnError):
    """The wrong state for this call; the message says which."""

    code = "FAILED_PRECONDITION"


class Aborted(CairnError):
    """A newer attempt took over, or the attempt was aborted. Nothing of it will become visible."""

    code = "ABORTED"


class Unavailable(CairnError, ConnectionError):
    """No node answered in time. Safe to try again."""

    code = "UNAVAILABLE"


class DeadlineExceeded(CairnError, TimeoutError):
    """Not done in time. The message says what is missing, as far as it is known."""

    code = "DEADLINE_EXCEEDED"


class ResourceExhausted(CairnError, OSError):
    """The targets are full, or a bucket's quota or another limit is reached; the message says which."""

    code = "RESOURCE_EXHAUSTED"


class DataLoss(CairnError, OSError):
    """Stored bytes are damaged. They are never returned."""

    code = "DATA_LOSS"


_ERRNO = {
    NotFound: _errno.ENOENT,
    AlreadyExists: _errno.EEXIST,
    Unavailable: _errno.EHOSTUNREACH,
    DeadlineExceeded: _errno.ETIMEDOUT,
    ResourceExhausted: _errno.ENOSPC,
    DataLoss: _errno.EIO,
}

_BY_CODE: dict[str, type[CairnError]] = {
    kind.code: kind
    for kind in (
        NotFound,
        AlreadyExists,
        InvalidArgument,
        OutOfRange,
        FailedPrecondition,
        Aborted,
        Unavailable,
        DeadlineExceeded,
        ResourceExhausted,
        DataLoss,
    )
}


def from_status(number: int, code: str, message: str) -> CairnError:
    """The exception for a status of the SDK: its code as a number and as a name, and its message."""
    kind = _BY_CODE.get(code)
    if kind is None:
        error = CairnError(f"{code}: {message}" if message else code)
        error.code = code
        return error
    error = kind(message)
    if kind in _ERRNO:
        # Set apart from args, so that str() stays the message alone.
        error.errno = _ERRNO[kind]  # type: ignore[attr-defined]
    return error
