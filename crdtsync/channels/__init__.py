"""Chat and presence, carried as maps in ordinary documents."""
