"""The document API: operations, their way into documents, and what becomes of them."""
