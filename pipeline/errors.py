"""The one exception that a person sees: a clear line that names what is wrong and how to mend it."""


class BitspikeError(Exception):
    """Bad input, parameter or environment; its text is one line for a person, and the program ends with status 2."""


class TooLittleError(BitspikeError):
    """A stage found too little in a recording to learn from."""


class MissingExtraError(BitspikeError):
    """A feature was asked for whose optional dependencies are not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs the '{extra}' extra: pip install 'bitspike[{extra}]'")
