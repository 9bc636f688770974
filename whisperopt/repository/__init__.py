"""Where releases are published: blobs by their content, one document, and one pointer to it."""
