"""One option: its names, its kind and its default."""

from dataclasses import dataclass
from typing import Final

from crdtsync.config.model import Config
from crdtsync.config.values import Kind, Value

__all__ = ["Option"]

_DEFAULTS: Final = Config()


@dataclass(frozen=True, slots=True)
class Option:
    """One option."""

    name: str
    """The TOML key; the others derive from it."""
    kind: Kind
    group: str
    help: str
    """What it means, without the default."""
    attribute: str = ""
    """Its field of ``Config`` or ``Limits``; the name where empty."""
    private: bool = False
    """Whether a value that is no file's name or URL is a secret by mistake, and is not shown."""

    @property
    def flag(self) -> str:
        """Return the command line's spelling: ``--max-message-bytes``."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def variable(self) -> str:
        """Return the environment's spelling: ``CRDTSYNC_MAX_MESSAGE_BYTES``."""
        return f"CRDTSYNC_{self.name.upper()}"

    @property
    def limit(self) -> bool:
        """Whether it is a field of ``Limits``, and may stand in the file's ``[limits]``."""
        return self.group == "Limits"

    @property
    def field(self) -> str:
        """Return the name of its field of ``Config`` or ``Limits``."""
        return self.attribute or self.name

    @property
    def default(self) -> Value:
        """Return the default, of the kind's type."""
        value: Value = getattr(_DEFAULTS.limits if self.limit else _DEFAULTS, self.field)
        return value

    @property
    def shown_default(self) -> str:
        """Return the default as text; empty where the option is not set by default."""
        return self.kind.show(self.default)
