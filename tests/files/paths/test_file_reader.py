"""Files of a call: what is read, what is refused, and that a refusal tells nothing about what is outside."""

import base64
import gc
import hashlib
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import pytest

from exai import config
from exai.errors import FileRefused
from exai.files.paths.reader import FileReader
from support.drawn_pictures import drawn

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABh6FO1AAAAABJRU5ErkJggg=="
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "root-of-somebody-else"
    folder.mkdir()
    (folder / "secret.txt").write_text("canary")
    return folder


def reader(root: Path, **settings: object) -> FileReader:
    return FileReader(config.Files.model_validate({"roots": [root], **settings}))


async def refusal(files: FileReader, *paths: str | Path) -> str:
    with pytest.raises(FileRefused) as caught:
        await files.read_texts("caller", [str(path) for path in paths])
    assert "canary" not in str(caught.value)
    return str(caught.value)


async def image_refusal(files: FileReader, *sources: str | Path) -> str:
    with pytest.raises(FileRefused) as caught:
        await files.read_images("caller", [str(source) for source in sources])
    return str(caught.value)


async def test_texts_come_in_the_order_they_were_named(root: Path) -> None:
    (root / "sub").mkdir()
    (root / "a.txt").write_text("first")
    (root / "sub/b.txt").write_text("second")
    one, two = await reader(root).read_texts("caller", [str(root / "sub/b.txt"), str(root / "a.txt")])
    assert (one.path, one.text) == (str(root / "sub/b.txt"), "second")
    assert two.text == "first"
    assert two.sha256 == hashlib.sha256(b"first").hexdigest()


async def test_nothing_named_is_nothing_read() -> None:
    files = FileReader(config.Files())
    assert await files.read_texts("caller", []) == ()
    assert await files.read_images("caller", []) == ()


async def test_without_roots_the_sentence_names_the_setting(root: Path) -> None:
    (root / "a.txt").write_text("x")
    assert "`files.roots`" in await refusal(FileReader(config.Files()), root / "a.txt")


async def test_further_roots_count_beside_those_of_the_settings(root: Path, tmp_path: Path) -> None:
    more = tmp_path / "more"
    more.mkdir()
    (more / "a.txt").write_text("x")
    files = FileReader(config.Files(roots=(root,)), roots=[more])
    assert (await files.read_texts("caller", [str(more / "a.txt")]))[0].text == "x"


@pytest.mark.parametrize("path", ["a.txt", "./a.txt", "~/a.txt", ""])
async def test_only_absolute_paths_are_taken(root: Path, path: str) -> None:
    assert "not an absolute path" in await refusal(reader(root), path)


async def test_outside_is_answered_alike_whether_it_exists_or_not(root: Path, outside: Path) -> None:
    files = reader(root)
    (root / "to-file").symlink_to(outside / "secret.txt")
    (root / "to-nothing").symlink_to(outside / "nothing.txt")
    (root / "to-folder").symlink_to(outside)
    paths: list[str | Path] = [
        outside / "secret.txt",
        outside / "nothing.txt",
        outside,
        outside / "nothing" / "deeper",
        outside / "secret.txt" / "deeper",
        f"{root}/../{outside.name}/secret.txt",
        f"{root}/../{outside.name}/nothing.txt",
        root / "to-file",
        root / "to-nothing",
        root / "to-folder/secret.txt",
        root / "to-folder/nothing.txt",
        root.parent,
        "/",
    ]
    sentences = {(await refusal(files, path)).replace(f"`{path}`", "`PATH`") for path in paths}
    assert len(sentences) == 1
    assert "not inside a folder that may be read" in sentences.pop()


async def test_a_link_that_ends_inside_is_followed(root: Path, tmp_path: Path) -> None:
    (root / "a.txt").write_text("x")
    (root / "link").symlink_to("a.txt")
    (tmp_path / "alias").symlink_to(root)
    for path in (root / "link", tmp_path / "alias" / "a.txt"):
        assert (await reader(root).read_texts("caller", [str(path)]))[0].text == "x"
    assert (await reader(tmp_path / "alias").read_texts("caller", [str(root / "a.txt")]))[0].text == "x"


async def test_a_root_that_becomes_a_link_leads_nowhere(root: Path, outside: Path) -> None:
    files = reader(root)
    _replace_by_link(root, outside)
    assert "not inside" in await refusal(files, root / "secret.txt")


async def test_links_in_a_circle_are_refused(root: Path) -> None:
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    assert "not inside" in await refusal(reader(root), root / "a")


async def test_what_is_missing_inside_is_said_to_be_missing(root: Path) -> None:
    assert "does not exist" in await refusal(reader(root), root / "nothing.txt")
    (root / "a.txt").write_text("x")
    assert "does not exist" in await refusal(reader(root), root / "a.txt" / "deeper")


async def test_a_folder_is_refused(root: Path) -> None:
    assert "is a folder" in await refusal(reader(root), root)


async def test_a_fifo_is_refused_at_once_though_nobody_writes(root: Path) -> None:
    os.mkfifo(root / "fifo")
    assert "only regular files" in await refusal(reader(root), root / "fifo")
    assert "only regular files" in await image_refusal(reader(root), root / "fifo")


async def test_a_socket_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)  # A socket's path has to be short.
    with socket.socket(socket.AF_UNIX) as door:
        door.bind("door")
        assert "only regular files" in await refusal(reader(root), root / "door")


@pytest.mark.parametrize(
    "path", ["/dev/zero", "/dev/null", "/proc/self/environ", "/sys/kernel/uevent_seqnum"]
)
async def test_the_systems_own_files_are_refused_below_any_root(path: str) -> None:
    assert "not inside" in await refusal(reader(Path("/")), path)


async def test_an_unreadable_file_is_refused(root: Path) -> None:
    (root / "a.txt").write_text("x")
    (root / "a.txt").chmod(0)
    with _ordinary_user():
        sentence = await refusal(reader(root), root / "a.txt")
    assert "permissions" in sentence


def _replace_by_link(folder: Path, target: Path) -> None:
    folder.rmdir()
    folder.symlink_to(target)


def _open_descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))


@contextmanager
def _ordinary_user() -> Iterator[None]:
    """Root reads everything; file access of this process is another user's for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("content", [b"a\0b", b"\xff\xd8\xff", b"latin \xe9"])
async def test_binary_is_refused(root: Path, content: bytes) -> None:
    (root / "a").write_bytes(content)
    assert "no text" in await refusal(reader(root), root / "a")


async def test_the_limits_are_exact(root: Path) -> None:
    (root / "ten").write_bytes(b"x" * 10)
    (root / "eleven").write_bytes(b"x" * 11)
    files = reader(root, max_file_bytes=10, max_total_bytes=20, max_files=3)
    assert len((await files.read_texts("caller", [str(root / "ten")] * 2))[0].text) == 10
    assert "(10 bytes, `files.max_file_bytes`)" in await refusal(files, root / "eleven")
    assert "20 bytes" in await refusal(files, *[root / "ten"] * 3)
    assert "one call may name 3" in await refusal(files, *[root / "ten"] * 4)


async def test_secrets_stay_at_home_whatever_name_leads_there(root: Path) -> None:
    (root / ".env").write_text("KEY=canary")
    (root / "plain.txt").symlink_to(".env")
    (root / "key.pem").write_text("-----BEGIN " + "PRIVATE KEY-----\ncanary\n")
    for name in (".env", "plain.txt", "key.pem"):
        assert "not sent to a provider" in await refusal(reader(root), root / name)
    (root / ".env").write_bytes(PNG)
    assert "not sent to a provider" in await image_refusal(reader(root), root / "plain.txt")


@pytest.mark.parametrize("path", ["/a\0b", "/a\ud800b", "/" + "x" * 5000, "/a\n\x1b[31mb"])
async def test_a_strange_path_is_a_short_clean_sentence(root: Path, path: str) -> None:
    sentence = await refusal(reader(root), path if path.startswith("/a\0") else f"{root}{path}")
    assert len(sentence) < 600
    assert sentence.isprintable()
    sentence.encode()


async def test_pictures_come_from_paths_and_data_urls(root: Path) -> None:
    (root / "a.png").write_bytes(PNG)
    url = "data:image/jpeg;base64," + base64.b64encode(PNG).decode()
    from_path, from_url = await reader(root).read_images("caller", [str(root / "a.png"), url])
    assert from_path == from_url
    assert (from_path.media_type, from_path.data) == ("image/png", PNG)


async def test_a_data_url_needs_no_root() -> None:
    url = "DATA:;base64," + base64.b64encode(PNG).decode()
    assert (await FileReader(config.Files()).read_images("caller", [url]))[0].data == PNG


BASE64 = base64.b64encode(PNG).decode()
JPEG = drawn("JPEG", 40, 30)


@pytest.mark.parametrize(
    "source",
    [
        "data:image/png;base64," + base64.encodebytes(PNG).decode(),
        "data:image/png;base64,\r\n" + "\r\n".join(BASE64),
        "data:image/png;charset=binary;base64," + BASE64,
        "data:image/png; base64, " + BASE64,
        "data:image/png;base64," + quote(BASE64, safe=""),
        "data:image/png;base64," + base64.urlsafe_b64encode(PNG).decode(),
        "data:image/png;base64," + BASE64.rstrip("="),
        f"  data:image/png;base64,{BASE64}\n",
        BASE64,
        BASE64.rstrip("="),
        base64.encodebytes(PNG).decode(),
        base64.urlsafe_b64encode(PNG).decode(),
    ],
)
async def test_base64_is_taken_in_every_form_that_means_one_thing(source: str) -> None:
    (image,) = await FileReader(config.Files()).read_images("caller", [source])
    assert image.data == PNG


async def test_the_base64_of_a_jpeg_is_no_path_though_it_begins_like_one(root: Path) -> None:
    source = base64.b64encode(JPEG).decode()
    assert source.startswith("/9j/")
    (image,) = await reader(root).read_images("caller", [source])
    assert image.data == JPEG


async def test_a_path_that_could_be_base64_is_a_path(root: Path) -> None:
    (root / "iVBORw0KGgoAAAANSUhEUgAA").write_bytes(PNG)
    (root / "a+b").write_bytes(PNG)
    for name in ("iVBORw0KGgoAAAANSUhEUgAA", "a+b"):
        (image,) = await reader(root).read_images("caller", [str(root / name)])
        assert image.data == PNG


@pytest.mark.parametrize("prefix", ["file://", "file:", "FILE://localhost", " file://"])
async def test_a_file_url_of_this_machine_is_its_path(root: Path, prefix: str) -> None:
    (root / "a b%.png").write_bytes(PNG)
    (root / "a b%.txt").write_text("x")
    (image,) = await reader(root).read_images("caller", [prefix + quote(str(root / "a b%.png"))])
    (text,) = await reader(root).read_texts("caller", [prefix + quote(str(root / "a b%.txt"))])
    assert (image.data, text.text, text.path) == (PNG, "x", str(root / "a b%.txt"))


@pytest.mark.parametrize("url", ["file://server/share/a.png", "file:a.png", "file://", "file://[/a"])
async def test_a_file_url_of_another_machine_names_the_right_form(root: Path, url: str) -> None:
    assert "by its path on this machine, as in `/" in await refusal(reader(root), url)
    assert "by its path on this machine, as in `/" in await image_refusal(reader(root), url)


async def test_a_file_url_leads_nowhere_else_than_its_path(root: Path, outside: Path) -> None:
    for url in (
        f"file://{outside}/secret.txt",
        f"file://{root}/%2e%2e/{outside.name}/secret.txt",
        "file:///a%00b",
    ):
        await refusal(reader(root), url)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("data:image/png;base64,%%%", "not valid base64"),
        ("A" * 5_000, "neither a path nor a picture in base64"),
        ("iVBORw0KGgoAAAANSUhEUgAA" + "!" * 5_000, "give an absolute path, as `/home/me/a.png`, or `data:"),
        (BASE64[:40], "broken PNG"),
        (base64.b64encode(PNG + bytes(99)).decode(), "larger"),
        ("data:image/png,plain", "not of the form"),
        ("data:image/png;base64", "not of the form"),
        ("data:image/bmp;base64,Qk0=", "PNG, JPEG, GIF and WebP"),
        ("data:image/png;base64," + "A" * 60, "larger"),
        ("https://example.com/a.png", "web address"),
        ("a.png", "not an absolute path"),
    ],
)
async def test_what_is_no_picture_is_refused(root: Path, source: str, says: str) -> None:
    assert says in await image_refusal(reader(root, max_image_bytes=32), source)


async def test_a_text_is_no_picture_and_the_sentence_names_the_kinds(root: Path) -> None:
    (root / "a.png").write_text("not really")
    sentence = await image_refusal(reader(root), root / "a.png")
    assert "PNG, JPEG, GIF and WebP" in sentence
    assert str(root / "a.png") in sentence


async def test_pictures_have_limits(root: Path) -> None:
    (root / "a.png").write_bytes(PNG)
    said = await image_refusal(reader(root, max_image_bytes=len(PNG) - 1), root / "a.png")
    assert "larger than one file may be (" in said
    assert "`files.max_image_bytes`" in said
    assert len(await reader(root, max_image_bytes=len(PNG)).read_images("caller", [str(root / "a.png")])) == 1
    assert "one call takes 2" in await image_refusal(reader(root, max_images=2), *[root / "a.png"] * 3)


async def test_no_descriptor_stays_open(root: Path) -> None:
    (root / "a.txt").write_text("x")
    (root / "b.bin").write_bytes(b"\0")
    files = reader(root)
    await files.read_texts("caller", [str(root / "a.txt")])
    gc.collect()  # what earlier tests left open may be closed by any collection
    before = _open_descriptors()
    for _ in range(20):
        await files.read_texts("caller", [str(root / "a.txt")])
        await refusal(files, root / "b.bin")
        await refusal(files, root)
        await refusal(files, root / "nothing" / "deeper")
    assert _open_descriptors() == before


async def test_a_folder_exchanged_for_a_link_after_the_check_is_not_followed(
    root: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "sub").mkdir()
    (root / "sub/secret.txt").write_text("inside")
    files = reader(root)
    resolve = os.path.realpath

    def resolve_then_swap(path: str) -> str:
        resolved = resolve(path)
        (root / "sub").rename(root / "aside")
        (root / "sub").symlink_to(outside)
        return resolved

    monkeypatch.setattr(os.path, "realpath", resolve_then_swap)
    await refusal(files, root / "sub/secret.txt")


async def test_a_file_exchanged_for_a_link_after_the_check_is_not_followed(
    root: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "a.txt").write_text("inside")
    files = reader(root)
    resolve = os.path.realpath

    def resolve_then_swap(path: str) -> str:
        resolved = resolve(path)
        (root / "a.txt").unlink()
        (root / "a.txt").symlink_to(outside / "secret.txt")
        return resolved

    monkeypatch.setattr(os.path, "realpath", resolve_then_swap)
    assert "not inside" in await refusal(files, root / "a.txt")


def test_links_swapped_in_and_out_while_reading_never_lead_out(root: Path, outside: Path) -> None:
    (root / "sub").mkdir()
    (root / "sub/secret.txt").write_text("inside")
    (root / "link").symlink_to(outside)
    files = reader(root)
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            (root / "sub").rename(root / "aside")
            (root / "link").rename(root / "sub")
            (root / "sub").rename(root / "link")
            (root / "aside").rename(root / "sub")

    swapper = threading.Thread(target=swap)
    swapper.start()
    read = set()
    try:
        for _ in range(3_000):
            with suppress(FileRefused):
                excerpt, _ = files._read_text(str(root / "sub/secret.txt"), 100, with_secrets=False)
                read.add(excerpt.text)
    finally:
        stop.set()
        swapper.join()
    assert read <= {"inside"}
