"""The command line: one file per subcommand, and the only room that prints or exits.

A file here whose name has no leading underscore is a subcommand: its `command` is a Click command, whose docstring is
the help (the first sentence is what the list shows), and `HELP_GROUP` and `HELP_ORDER` place it in the list. It
is imported only when it is asked for; heavy imports stand inside the function, so that `gpuprobe --help` stays quick.
"""
