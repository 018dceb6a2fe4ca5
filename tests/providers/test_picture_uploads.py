"""Pictures on the wire: as each provider takes them, and large ones once per account."""

import asyncio
import base64
import io
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pillow

from exai import config
from exai.errors import (
    AbilityMissing,
    ExaiError,
    FileRefused,
    ProviderFailed,
    ProviderRefused,
    ProviderThrottled,
    ProviderUnauthorized,
    ProviderUnconfigured,
)
from exai.files.pictures.pictures import check_picture
from exai.messages import Image, Message, Role
from exai.providers.base import Completion, Prompt
from exai.providers.remote_files.accounts import account_fingerprint
from exai.providers.remote_files.remote_files import RemoteFiles
from exai.routing.router import ModelRouter
from exai.runtime.clock import Clock, SystemClock
from exai.storage.database import Database
from exai.storage.database_file import FILE_NAME
from exai.storage.files.copies import CopyTables
from exai.storage.files.copy_rows import Status, Store
from exai_emulator import Emulator, EmulatorOptions, Fault, FileState, running
from support.drawn_pictures import drawn, noise
from support.migrated_databases import migrated_sqlite

LARGE = noise("PNG", 700, 700)
"""1.4 MB, above the threshold of an upload."""


def checked(data: bytes) -> Image:
    return check_picture(data, "`a`", 50_000_000)


class MonthLater(SystemClock):
    """A clock that is 31 days ahead."""

    wall = staticmethod(lambda: time.time() + 31 * 86_400)


class Studio:
    """A house's providers over the emulator, with a memory of uploads on disk."""

    def __init__(self, emulator: Emulator, database: Database, clock: Clock, **kimi: Any) -> None:
        there = emulator.addresses
        self.emulator = emulator
        self.clock = clock
        providers = config.Providers.model_validate(
            {
                "glm": {"base_url": there.glm, "api_key": there.glm_key},
                "kimi": {"base_url": there.kimi, "api_key": there.kimi_key, **kimi},
                "custom": {
                    "local": {
                        "base_url": there.custom,
                        "api_key": there.custom_key,
                        "models": [{"name": "tiny", "images": True}],
                    }
                },
            }
        )
        timeouts = config.Timeouts(upload_s=5)
        self.copies = copies = CopyTables(database)
        self.router = ModelRouter.from_settings(
            providers, config.Models(), timeouts, self.clock, copies=copies
        )
        self.remote = RemoteFiles(
            self.router.file_hosts, copies, self.clock, config.Files(), request_s=timeouts.upload_s
        )

    async def show(self, model: str, *pictures: bytes | Image, owner: str = "local") -> Completion:
        images = tuple(checked(each) if isinstance(each, bytes) else each for each in pictures)
        prompt = Prompt(
            model=self.router.resolve(model).model,
            messages=(Message(Role.USER, "What is it?", images=images),),
            owner=owner,
        )
        provider = self.router.providers[prompt.model.provider]
        return await provider.complete(prompt, deadline=self.clock.monotonic() + 30)

    @property
    def stored(self) -> list[Any]:
        return list(self.emulator.accounts["kimi"].files)

    async def statuses(self) -> list[Status]:
        """Of all copies, the oldest first."""
        return [row.status for row in await self.copies.of_store(self.remote.stores["kimi"])]

    def uploads(self) -> int:
        return len([record for record in self.emulator.log.of("kimi", "/files") if record.method == "POST"])

    def urls(self, provider: str) -> list[str]:
        """Of the pictures of the latest chat."""
        content = self.emulator.log.of(provider)[-1].body["messages"][0]["content"]
        return [part["image_url"]["url"] for part in content if part["type"] == "image_url"]

    def arrived(self, provider: str) -> list[Pillow.Image]:
        """The pictures of the latest chat, decoded."""
        seen: list[Pillow.Image] = []
        for url in self.urls(provider):
            if url.startswith("ms://"):
                file = self.emulator.accounts[provider].files.get(url.removeprefix("ms://"))
                assert file is not None
                data = file.content
            else:
                data = base64.b64decode(url.partition(",")[2])
            seen.append(Pillow.open(io.BytesIO(data)))
        return seen


OpenStudio = Callable[..., Awaitable[Studio]]


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with running(EmulatorOptions()) as emulator:
        yield emulator


@pytest.fixture
async def open_studio(emulator: Emulator, tmp_path: Path) -> AsyncIterator[OpenStudio]:
    """Opens houses, one after another on the same database."""
    (tmp_path / "data").mkdir()
    migrated_sqlite(tmp_path / "data" / FILE_NAME)
    async with AsyncExitStack() as stack:

        async def open_one(clock: Clock | None = None, **kimi: Any) -> Studio:
            database = await Database.open(config.Database(), tmp_path / "data")
            stack.push_async_callback(database.close)
            studio = Studio(emulator, database, clock or SystemClock(), **kimi)
            stack.push_async_callback(studio.router.close)
            return studio

        yield open_one


@pytest.fixture
async def studio(open_studio: OpenStudio) -> Studio:
    return await open_studio()


async def failing(studio: Studio, model: str, *pictures: bytes | Image) -> ExaiError:
    with pytest.raises(ExaiError) as caught:
        await studio.show(model, *pictures)
    return caught.value


async def test_small_pictures_go_as_they_are(studio: Studio) -> None:
    png, jpeg = drawn("PNG", 40, 30), drawn("JPEG", 30, 40)
    for model in ("glm-5.3-flash", "kimi-k3", "local/tiny"):
        completion = await studio.show(model, png, jpeg)
        assert completion.notes == ()
        provider = completion.provider if completion.provider != "local" else "custom"
        assert [(each.format, each.size) for each in studio.arrived(provider)] == [
            ("PNG", (40, 30)),
            ("JPEG", (30, 40)),
        ]
        assert base64.b64decode(studio.urls(provider)[0].partition(",")[2]) == png
    assert studio.stored == []


async def test_glm_gets_what_it_takes(studio: Studio) -> None:
    completion = await studio.show(
        "glm-5.3-flash", drawn("WEBP", 50, 40), drawn("JPEG", 8_000, 40), drawn("PNG", 5, 5)
    )
    assert [(each.format, each.size) for each in studio.arrived("glm")] == [
        ("JPEG", (50, 40)),
        ("JPEG", (6_000, 30)),
        ("PNG", (5, 5)),
    ]
    webp, jpeg = completion.notes
    assert webp.startswith("Image 1 was changed for glm-5.3-flash, which takes PNG, JPEG of at most 5 MB")
    assert "converted from WEBP to JPEG" in webp
    assert jpeg.startswith("Image 2")
    assert "6000 pixels" in jpeg


async def test_glm_gets_large_files_compressed(studio: Studio) -> None:
    await studio.show("glm-5.3-flash", noise("PNG", 1_400, 1_400))
    (arrived,) = studio.arrived("glm")
    assert (arrived.format, arrived.size) == ("JPEG", (1_400, 1_400))


async def test_kimi_gets_at_most_4k(studio: Studio) -> None:
    completion = await studio.show("kimi-k3", drawn("WEBP", 5_000, 50), drawn("GIF", 40, 40, "L"))
    assert [each.size for each in studio.arrived("kimi")] == [(4_096, 41), (40, 40)]
    assert len(completion.notes) == 1


async def test_too_many_for_the_model_are_refused_before_anything_is_sent(studio: Studio) -> None:
    fault = await failing(studio, "glm-5.3-flash", *[checked(drawn("PNG", 4, 4))] * 51)
    assert isinstance(fault, AbilityMissing)
    assert "at most 50" in str(fault)
    assert studio.emulator.log.requests == []


async def test_the_size_limit_of_a_request_ignores_uploaded_pictures(
    studio: Studio,
) -> None:
    model = studio.router.resolve("kimi-k3").model
    tight = replace(model, pictures=replace(model.pictures, max_inside_bytes=2 * 2**20))
    pictures = tuple(checked(noise("PNG", 560, 560, seed=seed)) for seed in range(3))
    prompt = Prompt(model=tight, messages=(Message(Role.USER, "?", images=pictures),))
    kimi = studio.router.providers["kimi"]
    with pytest.raises(AbilityMissing, match="3 MB together"):
        await kimi.complete(prompt, deadline=studio.clock.monotonic() + 30)
    assert studio.emulator.log.requests == []
    lying = tuple(checked(noise("PNG", 700, 700, seed=seed)) for seed in range(3))
    there = Prompt(model=tight, messages=(Message(Role.USER, "?", images=lying),))
    assert (await kimi.complete(there, deadline=studio.clock.monotonic() + 30)).text


async def test_a_large_picture_is_uploaded_once_and_named_afterwards(
    studio: Studio, open_studio: OpenStudio
) -> None:
    small = drawn("PNG", 4, 4)
    for _ in range(2):
        assert (await studio.show("kimi-k3", small, LARGE)).notes == ()
    assert studio.uploads() == 1
    (file,) = studio.stored
    assert (file.purpose, file.content) == ("image", LARGE)
    assert re.fullmatch(rf"exai-{checked(LARGE).sha256[:32]}-copy_[0-9a-f]{{16}}\.png", file.filename)
    assert studio.urls("kimi")[0].startswith("data:")
    assert studio.urls("kimi")[1] == f"ms://{file.id}"
    restarted = await open_studio()
    await restarted.show("kimi-k2.6", LARGE)
    assert restarted.uploads() == 1
    assert restarted.urls("kimi") == [f"ms://{file.id}"]


async def test_another_account_has_files_of_its_own(studio: Studio, open_studio: OpenStudio) -> None:
    await studio.show("kimi-k3", LARGE)
    studio.emulator.accounts.open("kimi", "sk-another")
    other = await open_studio(api_key="sk-another")
    await other.show("kimi-k3", LARGE)
    assert other.uploads() == 2


async def test_another_caller_has_files_of_his_own_and_finds_out_nothing(studio: Studio) -> None:
    await studio.show("kimi-k3", LARGE, owner="alice")
    await studio.show("kimi-k3", LARGE, owner="bob")
    assert studio.uploads() == 2
    assert {file.id for file in studio.stored} == {
        url.removeprefix("ms://") for url in studio.urls("kimi")
    } | {studio.stored[0].id}
    await studio.show("kimi-k3", LARGE, owner="alice")
    assert studio.uploads() == 2
    assert studio.urls("kimi") == [f"ms://{studio.stored[0].id}"]


async def test_calls_at_once_share_an_upload(studio: Studio) -> None:
    await asyncio.gather(*(studio.show("kimi-k3", LARGE) for _ in range(5)))
    assert studio.uploads() == 1
    assert len(studio.emulator.log.of("kimi")) == 5


@pytest.mark.parametrize("model", ["glm-5.3-flash", "local/tiny"])
async def test_nobody_else_is_given_uploads(studio: Studio, model: str) -> None:
    await studio.show(model, LARGE)
    assert {record.path.rpartition("/")[2] for record in studio.emulator.log.requests} == {"completions"}


async def test_the_threshold_is_a_setting(open_studio: OpenStudio) -> None:
    studio = await open_studio(upload_images_above_bytes=2 * 2**20)
    await studio.show("kimi-k3", LARGE)
    assert studio.uploads() == 0
    eager = await open_studio(upload_images_above_bytes=0)
    await eager.show("kimi-k3", drawn("PNG", 4, 4))
    assert eager.uploads() == 1


@pytest.mark.parametrize("refusal", ["invalid_request", "not_found"])
async def test_a_picture_that_has_gone_is_uploaded_again(studio: Studio, refusal: str) -> None:
    await studio.show("kimi-k3", LARGE)
    (file,) = studio.stored
    studio.emulator.accounts["kimi"].files.remove(file.id)
    if refusal == "not_found":
        studio.emulator.rules.set("kimi.file.known", on=False)
        studio.emulator.faults.add("kimi", Fault(error="not_found"))
    assert (await studio.show("kimi-k3", LARGE)).text
    assert studio.uploads() == 2
    (again,) = studio.stored
    assert studio.urls("kimi") == [f"ms://{again.id}"]
    await studio.show("kimi-k3", LARGE)
    assert studio.uploads() == 2


async def test_a_refusal_for_another_reason_stays_a_refusal(studio: Studio) -> None:
    await studio.show("kimi-k3", LARGE)
    studio.emulator.faults.add("kimi", Fault(error="invalid_request"))
    assert isinstance(await failing(studio, "kimi-k3", LARGE), ProviderRefused)
    assert studio.uploads() == 1
    assert len(studio.emulator.log.of("kimi")) == 2


async def test_with_a_full_store_the_picture_goes_inside_the_request_with_a_note(studio: Studio) -> None:
    studio.emulator.accounts["kimi"].state.files = FileState(max_files=0)
    completion = await studio.show("kimi-k3", LARGE)
    assert "did not keep a large picture" in " ".join(completion.notes)
    assert [each.size for each in studio.arrived("kimi")] == [(700, 700)]
    assert studio.urls("kimi")[0].startswith("data:")


async def test_an_upload_that_cannot_be_processed_is_taken_away_again(studio: Studio) -> None:
    studio.emulator.accounts["kimi"].state.files.fails = True
    completion = await studio.show("kimi-k3", LARGE)
    assert "did not keep a large picture" in " ".join(completion.notes)
    assert studio.urls("kimi")[0].startswith("data:")
    assert await studio.statuses() == [Status.DELETING]
    studio.emulator.accounts["kimi"].state.files.fails = False
    await studio.show("kimi-k3", LARGE)
    assert studio.urls("kimi")[0].startswith("ms://")


async def test_a_file_that_turned_bad_is_uploaded_again(studio: Studio) -> None:
    await studio.show("kimi-k3", LARGE)
    (file,) = studio.stored
    studio.emulator.accounts["kimi"].files.add(replace(file, status="error"))
    assert (await studio.show("kimi-k3", LARGE)).text
    assert studio.uploads() == 2


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(path="/files", error="server_error"), ProviderFailed),
        (Fault(path="/files", error="rate_limit_rpm"), ProviderThrottled),
        (Fault(path="/files", error="incorrect_api_key"), ProviderUnauthorized),
        (Fault(path="/files", error="html_200"), ProviderFailed),
        (Fault(path="/files", status=200, body='{"id":"../../etc"}'), ProviderFailed),
        (Fault(path="/files", status=200, body='{"id":' + "[" * 30_000), ProviderFailed),
        (Fault(path="/files", status=500, body='{"error":' + "[" * 30_000), ProviderFailed),
        (Fault(path="/files", status=502, times=2), ProviderFailed),
    ],
)
async def test_an_upload_that_fails_is_a_failure_of_the_provider(
    studio: Studio, fault: Fault, kind: type[ExaiError]
) -> None:
    studio.emulator.faults.add("kimi", fault)
    assert isinstance(await failing(studio, "kimi-k3", LARGE), kind)
    assert studio.emulator.log.of("kimi") == []
    assert (await studio.show("kimi-k3", LARGE)).text


async def test_an_odd_field_of_a_files_entry_does_not_lose_the_file(studio: Studio) -> None:
    body = '{"id":"file-1","status":5,"bytes":1e400,"filename":"\\ud83d"}'
    studio.emulator.faults.add("kimi", Fault(path="/files", status=200, body=body))
    assert (await studio.show("kimi-k3", LARGE)).text
    # It is named; Kimi has no such file, so that the picture is uploaded again.
    assert "ms://file-1" in str(studio.emulator.log.of("kimi")[0].body)


LOST = (
    Fault(path="/files", endless=True),
    Fault(path="/files", cut="reset", at="before_headers"),
    Fault(path="/files", cut="stall", at="before_headers"),
)
"""The file arrives, and no answer does."""


@pytest.mark.parametrize("fault", LOST)
async def test_an_upload_whose_answer_is_lost_is_found_by_its_name(studio: Studio, fault: Fault) -> None:
    studio.emulator.faults.add("kimi", fault)
    assert (await studio.show("kimi-k3", LARGE)).text
    (file,) = studio.stored
    assert studio.urls("kimi") == [f"ms://{file.id}"]
    await studio.show("kimi-k3", LARGE)
    assert studio.uploads() == 1


async def test_an_upload_in_doubt_is_looked_for_by_the_next_call(studio: Studio) -> None:
    studio.emulator.faults.add("kimi", Fault(path="/files", cut="reset", at="before_headers"))
    studio.emulator.faults.add("kimi", Fault(path="/files", status=502, times=2))
    assert isinstance(await failing(studio, "kimi-k3", LARGE), ProviderFailed)
    (file,) = studio.stored
    assert await studio.statuses() == [Status.DOUBTFUL]
    await studio.show("kimi-k3", LARGE)
    assert studio.urls("kimi") == [f"ms://{file.id}"]
    assert studio.uploads() == 1
    assert await studio.statuses() == [Status.READY]


async def test_a_call_that_is_cancelled_closes_its_upload(studio: Studio) -> None:
    studio.emulator.faults.add("kimi", Fault(path="/files", before_headers_ms=60_000))
    call = asyncio.create_task(studio.show("kimi-k3", LARGE))
    await studio.emulator.log.wait_for(lambda record: record.path.endswith("/files"))
    call.cancel()
    await studio.emulator.log.wait_for(lambda record: record.outcome == "disconnected")
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_what_nobody_used_for_long_is_condemned_and_not_shown_again(
    studio: Studio, open_studio: OpenStudio
) -> None:
    unused, new = (noise("PNG", 700, 700, seed=seed) for seed in (1, 2))
    await studio.show("kimi-k3", LARGE, unused)
    assert await studio.remote.condemn_unused() == 0
    later = await open_studio(MonthLater())
    await later.show("kimi-k3", LARGE, new)
    assert await later.remote.condemn_unused() == 1
    assert {file.content for file in later.stored} == {LARGE, unused, new}
    await later.show("kimi-k3", unused)
    assert later.uploads() == 4


async def test_an_upload_is_deleted_in_its_account_and_a_missing_one_counts_as_deleted(
    studio: Studio,
) -> None:
    await studio.show("kimi-k3", LARGE)
    (file,) = studio.stored
    account = account_fingerprint(studio.emulator.addresses.kimi, studio.emulator.addresses.kimi_key)
    for provider, other in (("kimi", "another"), ("glm", account), ("unknown", account)):
        with pytest.raises(ProviderUnconfigured):
            await studio.remote.delete(Store(provider, other), file.id)
    assert studio.stored == [file]
    for confirmed_by in ("deleted", "not_found"):
        assert await studio.remote.delete(Store("kimi", account), file.id) == confirmed_by
        assert studio.stored == []


async def test_a_deletion_that_fails_is_a_failure_of_the_provider(studio: Studio) -> None:
    account = account_fingerprint(studio.emulator.addresses.kimi, studio.emulator.addresses.kimi_key)
    await studio.show("kimi-k3", LARGE)
    (file,) = studio.stored
    studio.emulator.faults.add("kimi", Fault(path=f"/files/{file.id}", error="server_error"))
    with pytest.raises(ProviderFailed):
        await studio.remote.delete(Store("kimi", account), file.id)
    assert studio.stored == [file]


async def test_a_picture_that_cannot_be_made_to_fit_is_refused(studio: Studio) -> None:
    broken = Image("image/webp", b"RIFF", 10, 10)
    assert isinstance(await failing(studio, "glm-5.3-flash", broken), FileRefused)
    assert studio.emulator.log.requests == []
