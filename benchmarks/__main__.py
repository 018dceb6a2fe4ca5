"""Lists the benchmarks."""

import ast
from pathlib import Path


def main() -> None:
    print("usage: scripts/bench NAME [--help]\n")
    for module in sorted(Path(__file__).parent.glob("*.py")):
        tree = ast.parse(module.read_text(encoding="utf-8"))
        if module.stem != "__main__" and any(
            isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body
        ):
            print(f"  {module.stem:<12} {(ast.get_docstring(tree) or '').splitlines()[0]}")


if __name__ == "__main__":
    main()
