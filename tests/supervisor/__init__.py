"""The supervisor, the note and quarantined documents."""
