"""What the package raises and warns when the user, not the program, has to act."""


class ScanError(Exception):
    """A user's fault. The message names the file or key, what was found, what was expected and what to do.

    The console command prints it without a traceback and ends with status 2.
    """


class ScanWarning(UserWarning):
    """A setting without effect, or data that works but is probably not what was meant."""
