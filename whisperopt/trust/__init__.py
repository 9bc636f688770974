"""Whose repository it is: keys and signatures (TUF), and what a client believes of an address."""
