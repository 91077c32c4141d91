"""Many uploads, each with random rows, a random source, random arguments and random faults; see ``plans``.

Time is virtual: the tests wait for sockets only. Everything else is real: the operator, its trigger and its sensor in
processes of their own that can be killed, the sandbox, and the connections between them.
"""
