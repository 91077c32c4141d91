"""The command line ``adobe-target``.

Modules of commands import nothing heavy at module level, and no Airflow: ``adobe-target --help`` must be fast.
"""
