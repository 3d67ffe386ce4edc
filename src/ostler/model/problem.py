"""An error on its way from one process to another."""

from msgspec import Struct

from ostler.model.errors import OstlerError, from_parts


class Problem(Struct):
    """The parts of an OstlerError."""

    code: str
    message: str
    expected: str = ""
    hint: str = ""

    @classmethod
    def of(cls, error: OstlerError) -> "Problem":
        """Return the parts of this error."""
        return cls(error.code, error.message, error.expected, error.hint)

    def error(self) -> OstlerError:
        """Return the error again, to be raised."""
        return from_parts(self.code, self.message, self.expected, self.hint)
