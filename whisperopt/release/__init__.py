"""The release directory: catalog, artifacts, evidence and report."""
