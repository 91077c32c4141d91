"""One module per endpoint, named as in ``client/endpoints``."""
