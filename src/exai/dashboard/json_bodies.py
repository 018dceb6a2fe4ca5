"""How large a JSON body of this port may be, and how long it may take."""

from exai.web.bodies import WholeBody

__all__ = ["SMALL"]

SMALL = WholeBody(max_bytes=16 * 1024, within_s=5.0)
