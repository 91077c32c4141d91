"""Endpoints of the sandbox, one module each, named as in ``client/endpoints``."""
