"""What could not be measured, with the reason: null in JSON, never NaN and never a silent zero."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class NotAvailable(NamedTuple):
    """Stands where a value would stand.

    Attributes:
        reason: why there is none, for a reader.
    """

    reason: str


def lifted(function: Callable[..., Any], *values: Any) -> Any:
    """A function of values, or the first reason why one of them is not there."""
    missing = [value for value in values if isinstance(value, NotAvailable)]
    return missing[0] if missing else function(*values)


def divided(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values by their names, None where there is none, and ``not_available``: the reasons.

    Args:
        values: by name; `NotAvailable` where there is none.

    Returns:
        Arguments of a record with the field ``not_available``.
    """
    reasons = {name: one.reason for name, one in values.items() if isinstance(one, NotAvailable)}
    known = {name: None if name in reasons else value for name, value in values.items()}
    return {**known, "not_available": reasons}
