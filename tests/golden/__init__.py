"""The contracts that outside tools rely on, pinned: see README.md in this folder."""
