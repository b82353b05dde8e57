"""How the properties are tried: the same examples every time, each for as long as it takes."""

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy

__all__ = ["checked"]


def checked(examples: int, **strategies: SearchStrategy[Any]) -> Callable[[Any], Any]:
    """Try a property with so many examples."""
    options = settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        print_blob=True,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )

    def decorate(function: Any) -> Any:
        return options(given(**strategies)(function))

    return decorate
