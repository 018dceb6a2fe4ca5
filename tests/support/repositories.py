"""Real git repositories, made by dulwich; no program is started."""

from pathlib import Path
from typing import Any

from dulwich import porcelain
from dulwich.repo import Repo

from exai.evidence.trees import FolderTree

__all__ = ["GitRepository"]

AUTHOR = b"Ada <ada@example.org>"


class GitRepository:
    """A repository with a work tree in a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder.resolve()
        self.repo: Any = Repo.init(str(self.folder), default_branch=b"main")
        self._at = 1_700_000_000

    def write(self, files: dict[str, str | bytes | None]) -> None:
        """Write files, or remove them."""
        for name, content in files.items():
            path = self.folder / name
            if content is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)

    def stage(self, *paths: str) -> None:
        """Put files into the index as they are now."""
        self.repo.get_worktree().stage([path.encode() for path in paths])

    def commit(self, files: dict[str, str | bytes | None], message: str = "change") -> str:
        """Write files and commit them; return the hash."""
        self.write(files)
        self.stage(*files)
        self._at += 100
        sha: bytes = porcelain.commit(
            self.repo, message.encode(), author=AUTHOR, committer=AUTHOR, commit_timestamp=self._at
        )
        self.repo.close()
        return sha.decode()

    def branch(self, name: str, at: str | None = None) -> None:
        """Make a branch and check it out, without touching files."""
        sha = at.encode() if at else self.repo.head()
        self.repo.refs[b"refs/heads/" + name.encode()] = sha
        self.repo.refs.set_symbolic_ref(b"HEAD", b"refs/heads/" + name.encode())

    def pack(self) -> None:
        """Put all objects into a pack, and all references into a file."""
        porcelain.repack(self.repo)
        porcelain.pack_refs(self.repo, all=True)
        self.repo.close()

    def loose(self, sha: str) -> Path:
        """Return where an object is that is not packed."""
        return self.folder / ".git" / "objects" / sha[:2] / sha[2:]

    def tree(self, inside: str = "", roots: list[Path] | None = None, **options: bool) -> FolderTree:
        """Return it as a workspace, or a folder in it."""
        folder = self.folder / inside
        return FolderTree(str(folder), [str(root) for root in roots or [self.folder]], **options)
