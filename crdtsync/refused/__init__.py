"""The quarantine of refused updates: a small database beside the store, ``refused.db``."""
