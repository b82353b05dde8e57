"""Who has access for how long: sessions in time, revocations and share links.

``sessions`` is the engine's part and knows no disk; the rest keeps what outlives a restart in a
small database beside the store, which the command line may write while a server runs.
"""
