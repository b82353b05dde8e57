"""The supervisor of ``crdtsync serve``: a small process that starts the serving one again.

Imports nothing large, for it stays loaded as long as the server runs.
"""

from crdtsync.supervisor.lives import GaveUp, Supervised, can_supervise, supervise

__all__ = ["GaveUp", "Supervised", "can_supervise", "supervise"]
