"""Writing documents from programs that hold no Y.Doc: operations, content, what is sent back."""
