"""Numbers held against independent references."""
