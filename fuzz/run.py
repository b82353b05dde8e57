"""Runs of many conversations, and what is said about them."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

from fuzz.examine import Examiner, Finding, Totals, signature
from fuzz.minimise import minimise
from fuzz.script import dump, load, parse

__all__ = ["FINDINGS", "keep", "replay", "report", "run"]

FINDINGS: Final = Path(__file__).parent / "findings"
BATCH: Final = 40
SPREAD: Final = 1_000_000
"""Conversations of one seed; the next seed's come behind them."""
MOST_FINDINGS: Final = 20


def run(
    seed: int,
    *,
    seconds: float | None = None,
    messages: int | None = None,
    say: Callable[[str], None] = print,
    shorten: bool = True,
    folder: Path = FINDINGS,
) -> tuple[Totals, list[Finding]]:
    """Play conversations until a time or a number of messages is reached."""
    start_s = time.monotonic()
    findings: list[Finding] = []
    with Examiner() as examiner, ThreadPoolExecutor(1) as pool:
        totals = examiner.totals
        judging: Future[list[Finding]] | None = None
        first = seed * SPREAD
        told_s = start_s
        while len(findings) < MOST_FINDINGS:
            ended, new = examiner.play(range(first, first + BATCH))
            first += BATCH
            if judging is not None:
                new += judging.result()
            judging = pool.submit(examiner.judge, ended)
            took_s = time.monotonic() - start_s
            done = (seconds is not None and took_s >= seconds) or (
                messages is not None and totals.messages >= messages
            )
            if done:
                new += judging.result()
            for finding in new:
                say(f"conversation {finding.seed}: {finding.problem[:300]}")
            findings += new
            if done:
                break
            if time.monotonic() - told_s > 20:
                told_s = time.monotonic()
                say(f"{totals.messages:,} messages, {totals.messages / took_s:,.0f}/s")
        if judging is not None:
            judging.result()
        took_s = time.monotonic() - start_s
        for finding in findings:
            path = keep(examiner, finding, folder, shorten=shorten)
            say(f"repeat it: python -m fuzz replay {path}")
    report(totals, findings, took_s, say)
    return totals, findings


def keep(examiner: Examiner, finding: Finding, folder: Path, *, shorten: bool) -> Path:
    """Write a finding as a file, as short as it can be made in a while."""
    actions = parse(finding.script or examiner.script(finding.seed))
    if shorten:
        wanted = signature(finding.problem)
        actions = minimise(actions, lambda fewer: signature(examiner.examine(fewer)) == wanted)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{finding.seed}.txt"
    remarks = (f"conversation {finding.seed}", finding.problem[:500])
    path.write_text(dump(actions, *remarks), encoding="utf-8")
    return path


def replay(path: Path, say: Callable[[str], None] = print) -> bool:
    """Play one file; return whether all is well."""
    with Examiner() as examiner:
        problem = examiner.examine(load(path))
    say(f"{path}: {problem or 'all is well'}")
    return not problem


def report(
    totals: Totals, findings: list[Finding], took_s: float, say: Callable[[str], None]
) -> None:
    """Say what a run has seen."""
    say(
        f"{totals.messages:,} messages of {totals.conversations:,} conversations "
        f"in {took_s:.0f} s ({totals.messages / max(took_s, 0.001):,.0f}/s)"
    )
    say(
        f"committed {totals.committed:,}, held {totals.held:,}, known {totals.duplicates:,}, "
        f"refused {sum(totals.refused.values()):,}:"
    )
    for kind, count in sorted(totals.refused.items(), key=lambda each: -each[1]):
        say(f"  {count:9,} {kind}")
    say(
        f"documents compared {totals.documents:,} (of these kept verbatim {totals.verbatim:,}, "
        f"with items that lie about their place {totals.misplaced:,}); "
        f"pycrdt gave up on {totals.integration_errors:,}"
    )
    say(f"findings: {len(findings)}")
