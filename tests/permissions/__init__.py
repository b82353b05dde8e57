"""Who may write what: roles, the index of places, and gates, through the real session and room."""
