"""Which row has a path, and which tables cannot be."""

import pytest
from starlette.responses import Response

from exai.web.bodies import WholeBody
from exai.web.requests import AuthorizedRequest
from exai.web.routes import READ, Route, RouteTable


async def answer(_: AuthorizedRequest) -> Response:
    return Response()


def table(*paths: str) -> RouteTable:
    return RouteTable(Route(READ, path, answer, is_open=True) for path in paths)


def found(routes: RouteTable, path: str) -> tuple[str, dict[str, str]] | None:
    match = routes.find(path)
    return None if match is None else (match.routes[0].path, dict(match.params))


def test_a_path_belongs_to_its_most_literal_pattern() -> None:
    files = table(
        "/files/{id}/content", "/files/{id}", "/files", "/files/trees", "/files/uploads/{upload}", "/"
    )
    assert found(files, "/") == ("/", {})
    assert found(files, "/files") == ("/files", {})
    assert found(files, "/files/trees") == ("/files/trees", {})
    assert found(files, "/files/file_1") == ("/files/{id}", {"id": "file_1"})
    assert found(files, "/files/file_1/content") == ("/files/{id}/content", {"id": "file_1"})
    assert found(files, "/files/uploads/u") == ("/files/uploads/{upload}", {"upload": "u"})
    assert found(files, "/files/uploads/content") == ("/files/uploads/{upload}", {"upload": "content"})


@pytest.mark.parametrize(
    "path",
    ["", "files", "/files/", "//files", "/files//content", "/FILES", "/files/x/y", "/files/x/content/"],
)
def test_a_path_is_what_it_is_and_not_what_it_could_be_taken_for(path: str) -> None:
    assert table("/files", "/files/{id}", "/files/{id}/content").find(path) is None


def test_a_placeholder_is_taken_as_it_stands_in_the_path() -> None:
    assert found(table("/x/{id}"), "/x/{id}") == ("/x/{id}", {"id": "{id}"})
    assert found(table("/x/{id}"), "/x/a b%2f") == ("/x/{id}", {"id": "a b%2f"})


def test_rows_share_a_path_and_the_method_chooses_between_them() -> None:
    post = Route(("POST",), "/x/{id}", answer, scope="files", body=WholeBody(1, 1.0))
    routes = RouteTable([Route(READ, "/x/{id}", answer, scope="dashboard"), post])
    match = routes.find("/x/1")
    assert match is not None
    assert match.methods == ("GET", "HEAD", "POST")
    assert match.route("POST") is post
    assert match.route("DELETE") is None


@pytest.mark.parametrize("path", ["", "x", "//x", "/x//y", "/x{id}", "/{id}x", "/{}", "/{Id}"])
def test_what_is_no_pattern_is_refused_when_the_table_is_made(path: str) -> None:
    with pytest.raises(ValueError, match=r"a path begins|a placeholder is"):
        table(path)


def test_rows_that_contradict_each_other_are_refused_when_the_table_is_made() -> None:
    with pytest.raises(ValueError, match="the same method"):
        table("/x/{id}", "/x/{name}")
    with pytest.raises(ValueError, match="differently"):
        RouteTable([Route(READ, "/x/{id}", answer), Route(("POST",), "/x/{name}", answer)])
    for contradiction in ({"scope": "files"}, {"accepts_cookie": True}, {"needs_token": True}):
        with pytest.raises(ValueError, match="has no caller"):
            Route(READ, "/x", answer, is_open=True, **contradiction)
    with pytest.raises(ValueError, match="asks without a token"):
        Route(READ, "/x", answer, takes_any_host=True)
    with pytest.raises(ValueError, match="either"):
        Route(READ, "/x", answer, needs_token=True, accepts_cookie=True)
