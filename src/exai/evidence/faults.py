"""What is wrong with what a workspace is asked."""

from exai.errors import BadArguments

__all__ = ["NotARepository"]


class NotARepository(BadArguments):
    """The workspace is in no repository whose change could be read."""

    code = "not_a_repository"
