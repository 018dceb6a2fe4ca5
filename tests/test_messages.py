"""What messages show of themselves, and which pictures a model accepts."""

import hashlib
from dataclasses import replace

from exai.messages import Attachment, FileExcerpt, Image, Message, PictureLimits, Role
from exai.providers.remote_files.stored_source import StoredSource

PICTURE = Image("image/png", b"canary", 60, 40)


def test_nothing_shows_its_content_or_its_name_in_a_log() -> None:
    attachment = Attachment("canary.mp4", "mp4", StoredSource.__new__(StoredSource))
    message = Message(Role.USER, "canary", images=(PICTURE,), attachments=(attachment,))
    shown = [repr(each) for each in (PICTURE, attachment, message, FileExcerpt("a.py", "canary", "00"))]
    assert "canary" not in "".join(shown)
    assert shown[2] == "Message(user, 6 characters, 1 pictures, 1 files)"


def test_a_digest_that_is_known_is_not_computed_again() -> None:
    assert PICTURE.sha256 == hashlib.sha256(b"canary").hexdigest()
    assert replace(PICTURE, known_sha256="ab").sha256 == "ab"


def test_a_model_accepts_pictures_within_its_limits() -> None:
    limits = PictureLimits(types=("image/png",), max_bytes=6, max_side=60)
    assert limits.hold(PICTURE)
    others = (
        replace(PICTURE, media_type="image/gif"),
        replace(PICTURE, data=b"canaries"),
        replace(PICTURE, height=61),
        replace(PICTURE, moves=True),
    )
    assert not any(map(limits.hold, others))
