"""Servers, clocks and runners that several test modules share."""
