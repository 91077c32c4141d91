"""Conversion of Arrow and Python values to the text that Adobe Target stores."""
