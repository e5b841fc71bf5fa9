"""The rates of false alarms that users ask for."""

from flowasd.errors import UserError


def check_rates(alpha: float | None, fdr: float | None, prefix: str = "") -> None:
    """Raises a `UserError` unless one rate at most is given, and lies above 0 and below 1.

    Args:
        alpha: Rate of false alarms.
        fdr: Share of false alarms among the alarms.
        prefix: What the message puts before their names.
    """
    for name, rate in (("alpha", alpha), ("fdr", fdr)):
        if rate is not None and not 0 < rate < 1:
            raise UserError(f"{prefix}{name}={rate:g} must be above 0 and below 1")
    if alpha is not None and fdr is not None:
        raise UserError(f"{prefix}alpha and {prefix}fdr are two ways to decide; give one of them")
