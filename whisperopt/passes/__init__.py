"""Rewrites of graphs: one pass, one contract, one test."""
