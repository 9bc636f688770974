"""The report that people look at: one HTML page without network, and a summary in Markdown."""
