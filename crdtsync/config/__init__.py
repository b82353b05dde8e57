"""The configuration of a server: every option, from every source, checked once.

``load`` joins the command line, the ``CRDTSYNC_*`` variables, a TOML file and the defaults, in
this order of precedence, and says of each value where it came from. ``OPTIONS`` is the one
table that all spellings of an option derive from. Knows no command line library and no
adapter: whether a store's URL can be opened is the store's to say.
"""

from crdtsync.config.loading import CONFIG_VARIABLE, DEFAULT_FILE, Resolved, Setting, Source, load
from crdtsync.config.model import Config, DurabilityName, LogFormat, LogLevel, Transport
from crdtsync.config.options import GROUPS, OPTIONS, Option

__all__ = [
    "CONFIG_VARIABLE",
    "DEFAULT_FILE",
    "GROUPS",
    "OPTIONS",
    "Config",
    "DurabilityName",
    "LogFormat",
    "LogLevel",
    "Option",
    "Resolved",
    "Setting",
    "Source",
    "Transport",
    "load",
]
