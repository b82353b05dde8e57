"""Hostile input on purpose: generators, whole conversations, and judges of what came of them.

``python -m fuzz --help``; ``docs/fuzzing.md`` says what is claimed and how a finding is repeated.
"""
