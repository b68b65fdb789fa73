"""What an error of an S3-compatible store means: worth another try, or one sentence for a person."""

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ProxyConnectionError,
)
from botocore.parsers import ResponseParserError

from cluster.errors import StoreError, StoreFull
from pipelines.store.interface import NotFound

_THROTTLED = {"SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests"}
_AGAIN = {"RequestTimeout", "InternalError", "ServiceUnavailable", "ConditionalRequestConflict", "OperationAborted"}
_FULL = {"QuotaExceeded", "XMinioStorageFull", "InsufficientStorage", "InsufficientCapacity"}
_DENIED = {"AccessDenied", "AllAccessDisabled", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"}
_MISSING = {"NoSuchKey", "NotFound", "404"}
_NEVER_AGAIN = {501, 507}


def status_of(error: ClientError) -> int:
    """The HTTP status of an answer, 0 if it had none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def code_of(error: ClientError) -> str:
    """The store's own name of an error."""
    return str(error.response.get("Error", {}).get("Code", ""))


def is_unreachable(error: BaseException) -> bool:
    """Whether the store was not reached or went away in mid-answer."""
    return isinstance(error, ConnectionError | HTTPClientError | IncompleteReadError)


def is_transient(error: BaseException) -> bool:
    """Whether the same call may succeed a little later."""
    if isinstance(error, ClientError):
        status, code = status_of(error), code_of(error)
        if status in _NEVER_AGAIN or code in _FULL:
            return False
        return status >= 500 or status in (408, 409, 429) or code in _THROTTLED | _AGAIN
    return is_unreachable(error) or isinstance(error, ResponseParserError)


def explain(error: Exception, *, endpoint: str, bucket: str, key: str = "") -> StoreError:
    """One sentence: what failed, where, and what to do. Nothing of a request's headers or keys is in it."""
    where = f"bucket {bucket} at {endpoint}"
    if isinstance(error, ClientError):
        return _explain_answer(error, where, key)
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return StoreError(f"no credentials for {where}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    if isinstance(error, ProxyConnectionError):
        return StoreError(f"{where} cannot be reached through the proxy; check HTTPS_PROXY and NO_PROXY")
    if is_unreachable(error):
        kind = type(error).__name__.removesuffix("Error")
        return StoreError(f"{where} cannot be reached ({kind}); check AWS_ENDPOINT_URL and the network")
    if isinstance(error, ParamValidationError):
        return StoreError(f"{bucket!r} is not a valid bucket name, or {key!r} not a valid key; correct the uri")
    if isinstance(error, BotoCoreError | ValueError):
        return StoreError(f"{where} cannot be used ({type(error).__name__}); check AWS_ENDPOINT_URL and AWS_REGION")
    return StoreError(f"{where} failed: {type(error).__name__}")


def _explain_answer(error: ClientError, where: str, key: str) -> StoreError:
    status, code = status_of(error), code_of(error)
    if code == "NoSuchBucket":
        return NotFound(f"{where} does not exist; create it or correct the uri")
    if code in _MISSING:
        return NotFound(f"{where} has no {key}" if key else f"{where} does not exist; create it or correct the uri")
    if code in _FULL or status == 507:
        return StoreFull(f"no space is left in {where} ({code}); free some, raise the quota or write elsewhere")
    if code in _DENIED or status in (401, 403):
        return StoreError(
            f"access to {where} is denied ({code}); check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY "
            "and the bucket's policy"
        )
    if is_transient(error):
        return StoreError(f"{where} kept answering {status} ({code}) to {error.operation_name}; try again later")
    return StoreError(f"{where} refused {error.operation_name}: HTTP {status} ({code}); check the store's settings")
