"""What keeps the server from starting, and how a function's failure reaches its caller."""


class CannotStart(Exception):
    """The server does not start; `str()` is one line that names the option, file or function."""


class FunctionFailed(Exception):
    """A function raised, or returned what no answer can be made of; it is logged already."""
