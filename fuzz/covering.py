"""The process that atheris drives: crdtsync is imported here so that it counts what is reached.

Arguments: the target, then libFuzzer's own.
"""

import sys

import atheris

with atheris.instrument_imports(include=["crdtsync"]):
    from crdtsync.errors import RemoteError
    from fuzz.cover import TARGETS

__all__ = ["main"]


def main() -> None:
    """Fuzz until libFuzzer says that it is enough."""
    target = TARGETS[sys.argv[1]]

    def one(data: bytes) -> None:
        try:
            target(data)
        except RemoteError:
            pass  # what it is for

    atheris.Setup([sys.argv[0], *sys.argv[2:]], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
