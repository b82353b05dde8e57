"""Every limit has a test that reaches it."""

import ast
import functools
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from crdtsync.limits import Limits

TESTS = Path(__file__).parent.parent
SUITES = ["unit", "native", "server", "access", "history", "channels", "authoring"]

ELSEWHERE = {
    "reserved_descriptors": "server",
    "request_timeout_s": "native",
    "max_message_bytes": "native",  # whole messages are the transports' to measure
    "max_token_bytes": "access",
    "token_refreshes_per_minute": "access",
    "share_failures_per_minute": "access",
    "max_shares": "access",
    "history_pause_s": "history",
    "history_interval_s": "history",
    "history_processes": "history",
    "history_timeout_s": "history",
    "presence_grace_s": "channels",
    "presence_interval_s": "channels",
    "max_chat_text_bytes": "channels",
    "chat_messages_per_minute": "channels",
    "chat_burst": "channels",
    "chat_edit_window_s": "channels",
    "chat_future_s": "channels",
    "chat_past_s": "channels",
    "max_edit_bytes": "server",
    "max_edit_parts": "authoring",
    "idempotency_keep_s": "authoring",
    "max_idempotency_keys": "authoring",
    "chat_live_messages": "channels",
    "chat_archive_messages": "channels",
}
"""Limits that are reached in another suite, by the name of its folder."""


@functools.cache
def mentioned(folder: str) -> list[tuple[str, set[str]]]:
    """Return what ``mentions`` yields, without reading the folder again for each limit."""
    return list(mentions(folder))


def mentions(folder: str) -> Iterator[tuple[str, set[str]]]:
    """Yield each test's name with every word and argument name in it."""
    for path in sorted((TESTS / folder).glob("test_*.py")):
        if path.name == "test_limits.py":
            continue
        for node in ast.parse(path.read_text()).body:
            words = {n.arg for n in ast.walk(node) if isinstance(n, ast.keyword) and n.arg}
            words |= {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}
            name = getattr(node, "name", "")
            yield f"{path.name}::{name}", words | {name.removeprefix("test_")}


@pytest.mark.parametrize("limit", [field.name for field in fields(Limits)])
def test_each_limit_is_reached(limit: str) -> None:
    """For every limit some test is named after it, or sets it, where it is enforced."""
    folders = [ELSEWHERE.get(limit, "unit")]
    reaching = [
        name
        for folder in folders
        for name, words in mentioned(folder)
        if limit in words or any(word.startswith(limit) or limit in word for word in words)
    ]
    assert reaching, f"no test reaches {limit}"


def test_the_exceptions_are_limits() -> None:
    """What is said to be tested elsewhere exists."""
    assert set(ELSEWHERE) <= {field.name for field in fields(Limits)}
    assert set(ELSEWHERE.values()) <= set(SUITES)


def test_limits_are_positive_and_frozen() -> None:
    """The defaults make sense, and nobody changes them under a running server."""
    limits = Limits()
    off = {field.name for field in fields(Limits) if not getattr(limits, field.name)}
    assert off == {"max_messages_per_s", "max_document_bytes"}, "0 turns these off"
    assert all(getattr(limits, field.name) >= 0 for field in fields(Limits))
    with pytest.raises(AttributeError):
        limits.max_merge = 1  # type: ignore[misc]
    assert limits.max_frame_bytes < limits.max_message_bytes
    assert limits.keepalive_s < 30 > limits.ping_interval_s
