"""What innocent clients notice of offenders: ``python -m benchmarks strain``."""

from benchmarks.strain.giant import GIANTS
from benchmarks.strain.offences import OFFENCES
from benchmarks.strain.past import PASTS
from benchmarks.strain.restarts import RESTARTS
from benchmarks.strain.stage import Strain

STRAINS: dict[str, Strain] = {each.name: each for each in (*OFFENCES, *RESTARTS, *GIANTS, *PASTS)}
"""All cases, by name."""
