"""Room for recursion is given for as long as somebody needs it, and no longer."""

import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from crdtsync.recursion import RECURSION_LIMIT, deep_recursion


def test_it_ends_with_the_last() -> None:
    """Blocks that overlap in any way leave the limit as it was before all of them."""
    before = sys.getrecursionlimit()
    one, other = deep_recursion(), deep_recursion()
    one.__enter__()
    other.__enter__()
    assert sys.getrecursionlimit() >= RECURSION_LIMIT
    one.__exit__(None, None, None)
    assert sys.getrecursionlimit() >= RECURSION_LIMIT
    other.__exit__(None, None, None)
    assert sys.getrecursionlimit() == before


def test_on_threads() -> None:
    """However many threads need it at once, in the end it is as it was."""
    before = sys.getrecursionlimit()
    barrier = Barrier(8)

    def work(number: int) -> None:
        barrier.wait(10)
        for _ in range(number * 20):
            with deep_recursion():
                assert sys.getrecursionlimit() >= RECURSION_LIMIT

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert sys.getrecursionlimit() == before
