"""Signed sessions in a header, with an end."""

import hashlib
import hmac

from routekit.router import Response


class Sessions:
    """Makes and checks tokens `user:end:signature`."""

    def __init__(self, secret, clock, lasts_s=3600):
        self._secret = secret.encode()
        self._clock = clock
        self._lasts_s = lasts_s

    def begin(self, user):
        """Return the token of a user who signed in."""
        if ":" in user:
            raise ValueError("a user's name has no colon")
        end = int(self._clock()) + self._lasts_s
        return f"{user}:{end}:{self._sign(user, end)}"

    def user_of(self, token):
        """Return whose token this is; None for one that is forged or over."""
        parts = token.split(":")
        if len(parts) != 3 or not parts[1].isdigit():
            return None
        user, end, signature = parts
        if not hmac.compare_digest(signature, self._sign(user, end)):
            return None
        return user if self._clock() < int(end) else None

    def _sign(self, user, end):
        return hmac.new(self._secret, f"{user}:{end}".encode(), hashlib.sha256).hexdigest()


def needs_sign_in(sessions, open_paths=("/", "/login")):
    """Return a guard that lets nobody in without a session, but to the open paths."""

    def guard(request):
        request.user = sessions.user_of(request.headers.get("X-Session", ""))
        if request.user is None and request.path not in open_paths:
            return Response(401, "Sign in first")
        return None

    return guard


def owner_only(handler):
    """Return a handler that answers only the user whom the path names."""

    def checked(request):
        if request.params.get("user") != request.user:
            return Response(403, "Not yours")
        return handler(request)

    return checked
