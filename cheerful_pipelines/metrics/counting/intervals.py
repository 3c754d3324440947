"""How sure a share is. Pure."""

from math import sqrt


def wilson_interval(successes: float, trials: float, *, z: float = 1.96) -> tuple[float, float]:
    """Where the true share lies with 95 % confidence (E. B. Wilson, 1927); (0, 1) without trials.

    >>> [round(bound, 3) for bound in wilson_interval(8, 40)]
    [0.105, 0.348]
    """
    if not trials:
        return 0.0, 1.0
    share, square = successes / trials, z * z
    centre = (share + square / (2 * trials)) / (1 + square / trials)
    half = z * sqrt(share * (1 - share) / trials + square / (4 * trials * trials)) / (1 + square / trials)
    return max(0.0, centre - half), min(1.0, centre + half)
