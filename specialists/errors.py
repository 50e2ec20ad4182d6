"""What can go wrong in the method: values that break a rule it needs."""


class SpecialistsError(ValueError):
    """The input breaks a rule of the method; the message lists all faults found, one a line."""


def raise_all(faults: list[str]) -> None:
    """Raise one error with all faults, or do nothing where there are none.

    Args:
        faults: One message each.

    Raises:
        SpecialistsError: There is a fault; the message has a line for each.
    """
    if faults:
        raise SpecialistsError("\n".join(faults))
