"""Older names that ask about files become a chat with the arguments that agents know."""

from typing import Any

import pytest

from exai.errors import BadArguments
from exai.tools.chat import Chat
from exai.tools.files import Files
from exai.tools.registry import Registry


@pytest.fixture
def registry() -> Registry:
    absent: Any = None
    return Registry([Chat(absent).tool(), Files(absent).tool()])


@pytest.mark.parametrize(
    ("name", "given", "paths", "model"),
    [
        ("smart_file_query", {"file_path": "/a", "question": "Q?", "provider": "kimi"}, ["/a"], "kimi"),
        ("smart_file_query", {"file_path": "/a", "question": "Q?", "provider": "auto"}, ["/a"], "auto"),
        (
            "smart_file_query",
            {"file_path": "/a", "question": "Q?", "provider": "kimi", "model": "glm-5.3"},
            ["/a"],
            "glm-5.3",
        ),
        ("smart_file_query", {"file_path": "/a", "question": "Q?"}, ["/a"], None),
        (
            "kimi_chat_with_files",
            {"prompt": "Q?", "file_ids": ["file_1", "file_2"]},
            ["file_1", "file_2"],
            "kimi",
        ),
        (
            "kimi_chat_with_files",
            {"prompt": "Q?", "file_ids": ["file_1"], "model": "kimi-k2.6", "temperature": 0.3},
            ["file_1"],
            "kimi-k2.6",
        ),
        ("glm_multi_file_chat", {"prompt": "Q?", "files": ["/a", "/b"]}, ["/a", "/b"], "glm"),
    ],
)
def test_a_question_about_files_is_a_chat(
    registry: Registry, name: str, given: dict[str, Any], paths: list[str], model: str | None
) -> None:
    invocation = registry.find(name, given)
    arguments: Any = invocation.arguments()
    assert invocation.tool.name == "chat"
    assert (arguments.prompt, arguments.absolute_file_paths, arguments.model) == ("Q?", paths, model)
    assert invocation.scopes == ("tools:models",)


def test_none_of_them_is_listed(registry: Registry) -> None:
    assert [tool.name for tool in registry.listing] == ["chat", "files"]


def test_an_upload_to_a_provider_needs_the_scope_of_models_too(registry: Registry) -> None:
    assert registry.find("kimi_upload_files", {"files": ["/a"]}).scopes == ("files", "tools:models")
    assert registry.find("supabase_upload", {"file_path": "/a"}).scopes == ("files",)


def test_what_no_tool_takes_is_named(registry: Registry) -> None:
    with pytest.raises(BadArguments, match="Unknown argument 'folder'"):
        registry.find("smart_file_query", {"file_path": "/a", "question": "Q?", "folder": "/b"}).arguments()
