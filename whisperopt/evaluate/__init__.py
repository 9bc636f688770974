"""Proof of variants: what a runtime executes, gates over quality, and evidence."""
