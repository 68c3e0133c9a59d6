"""The command line: one file per subcommand, and the only room that prints or exits.

A file here whose name has no leading underscore is a subcommand: its function `command` takes the options, the
docstring of that function is the help, and `HELP_ORDER` places it in the list. Heavy imports stand inside the
function, so that `gpuprobe --help` stays quick.
"""
