"""The command line: one file per subcommand, and the only room that prints or exits.

A file whose name has no leading underscore is a subcommand. Its `command` is a Click command, whose docstring is the
help (the list shows the first sentence); `HELP_GROUP` and `HELP_ORDER` place it in the list. The file is imported only
when its subcommand is used. Heavy imports stand inside the function, so that `gpuprobe --help` stays quick.
"""
