"""RFC 6455 against the Autobahn test suite: ``python -m tests.conformance``."""
