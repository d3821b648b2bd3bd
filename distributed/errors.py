"""Errors whose message is for the user."""


class UserError(ValueError):
    """A mistake that the user can mend: the message names the file or key, the reason and the fix.

    The command line prints it without a traceback and exits with code 2.
    """
