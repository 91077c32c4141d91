"""HTTP transports: ``requests`` for worker threads, ``httpx`` for a triggerer's event loop.

Import these modules inside functions. They are the only ones that import an HTTP library.
"""
