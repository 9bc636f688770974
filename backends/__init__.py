"""The first-party backends, one folder per runtime, found through entry points like anybody's."""
