"""Tests of repositories: what is published, and where."""
