"""What can go wrong, by whose fault it is. Each class has one HTTP status and one gRPC status (see the two edges)."""


class StoreError(Exception):
    """The message goes to the client: it names no file and no line of ours."""


class InvalidRequestError(StoreError):
    """The request cannot be meant like that: 400."""


class InvalidQueryError(InvalidRequestError):
    """SQL that does not parse, plan or run, or that may not run here: 400, INVALID_ARGUMENT."""


class InvalidConfigurationError(InvalidRequestError):
    """There can be no such database or table: 400."""


class ExistsError(StoreError):
    """There is such a database or table already: 409. It was not changed."""


class MediaTypeError(StoreError):
    """The body is not of the type that is wanted: 415."""


class UnknownDatabaseError(StoreError):
    """404, NOT_FOUND."""


class TooLargeError(StoreError):
    """413."""


class LimitReachedError(StoreError):
    """A limit on databases, tables or columns: 422."""


class BusyError(StoreError):
    """As much waits as may wait: 503 with Retry-After, UNAVAILABLE. The same request may succeed in a second."""


class QueryTimeoutError(StoreError):
    """The time limit interrupted the query: 408, DEADLINE_EXCEEDED."""


class StorageError(StoreError):
    """Disk or engine failed, and nothing of the request was stored: 500, INTERNAL. The log has the reason."""


class StartError(Exception):
    """The store cannot start. The message is for the operator, on one line."""
