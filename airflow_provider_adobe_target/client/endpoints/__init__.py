"""One module per endpoint: URL, request, flow and response."""
