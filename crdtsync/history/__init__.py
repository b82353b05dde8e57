"""Version history: every moment of a document that is kept, who did what, and the way back."""
