"""What fsspec's filesystems do each in a way of their own."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pipeline.errors import StoreError
from pipeline.store.contents import Version

MAX_BYTES = 5 << 30
"""What S3 takes in one request; an object must be smaller."""

SINGLE_PUT = {"s3": {"chunksize": MAX_BYTES}, "s3a": {"chunksize": MAX_BYTES}}
"""What keeps a filesystem from writing an object in parts, by protocol: the probe tries a put in one part only."""

ONTO_ITSELF = {"s3": {"MetadataDirective": "REPLACE"}, "s3a": {"MetadataDirective": "REPLACE"}}
"""Without which S3 refuses to copy an object onto itself, because nothing would change."""

_LOCAL = {"file", "local"}
_WRITTEN = ("LastModified", "last_modified", "mtime", "updated", "modified", "created")
"""Where filesystems tell when an object was written: each has its own name for it."""


_CHECK_ALL = "check the address, the network and the credentials"
_ADVICE = (
    ({"NoSuchBucket"}, "make the bucket, or check the address"),
    (
        {"NoCredentialsError", "PartialCredentialsError"},
        "give credentials where boto takes them: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, ~/.aws, or a role",
    ),
    (
        {"EndpointConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "ConnectionClosedError"},
        "check the network, and the endpoint that AWS_ENDPOINT_URL or ~/.aws names",
    ),
    (
        {"PermissionError", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "403"},
        "check the credentials, and what they may do in the bucket",
    ),
)
"""What to do about errors, by their names and by S3's codes."""


def filesystem_of(root: str) -> Any:
    """Return what reaches the address of an object store.

    Raises:
        StoreError: The address is not one of an object store, or the package that reaches it is not installed.
    """
    protocol, _, rest = root.partition("://")
    if protocol in _LOCAL:
        raise StoreError(f"a store in a folder must be named by the folder alone; got {root!r}; did you mean {rest!r}?")
    if protocol == "memory":
        raise StoreError(f"the store must be where all processes see the same; got {root!r}, which each has for itself")
    # Opening a store in a folder should not wait for what it does not need.
    import fsspec  # noqa: PLC0415

    try:
        # A listing that is remembered would hide what others write.
        filesystem, _ = fsspec.core.url_to_fs(root, use_listings_cache=False)
    except ImportError as error:
        raise StoreError(
            f"{root} must be reachable; got {error}: pip install 'specialist-distillation[s3]' for s3://"
        ) from error
    except OSError as error:  # some connect at once
        raise StoreError(f"{root} must be reachable; got {error.strerror or error}: {_CHECK_ALL}") from error
    except ValueError as error:
        raise StoreError(
            f"the store must be a folder or the address of an object store; got {root!r}: {error}"
        ) from error
    if not filesystem.async_impl and type(filesystem).pipe_file is fsspec.AbstractFileSystem.pipe_file:
        raise StoreError(f"{root} must be in an object store; got {protocol}, where a file can be seen half-written")
    return filesystem


def version_of(info: Mapping[str, Any]) -> Version | None:
    """Return which object a filesystem tells of; None if it is what stands for a folder."""
    if info["type"] != "file":
        return None
    moment = next(info[name] for name in _WRITTEN if info.get(name) is not None)
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    seconds = moment.timestamp() if isinstance(moment, datetime) else float(moment)
    tag = str(info.get("ETag") or info.get("etag") or "").strip('"')
    # Some services tell fractions of a second in a listing and not of a single object.
    return Version(tag, info["size"], int(seconds) * 10**9)


def is_without_bucket(error: BaseException) -> bool:
    """Return whether a filesystem's error says that the bucket is not there, and not only the object."""
    return code_of(error) == "NoSuchBucket"


def advice_of(error: BaseException) -> str:
    """Return what to do about a filesystem's error."""
    names = {type(error).__name__, code_of(error)}
    return next((told for known, told in _ADVICE if names & known), _CHECK_ALL)


def code_of(error: BaseException) -> str:
    """Return what S3 calls an error; a filesystem's own error has that of the service as its cause."""
    response = getattr(error.__cause__, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))
