"""Both styles of engine calls offer the same helpers; only one of them can be imported on any Pants."""

from __future__ import annotations

import ast
from pathlib import Path

ENGINE = Path(__file__).parents[3] / "pants-plugins" / "enclaver" / "engine"


def helpers(name: str) -> dict[str, tuple[list[str], str]]:
    tree = ast.parse((ENGINE / f"{name}.py").read_text())
    return {
        node.name: ([ast.unparse(argument) for argument in node.args.args], ast.unparse(node.returns or ast.Pass()))
        for node in tree.body
        if isinstance(node, ast.AsyncFunctionDef)
    }


def exported() -> list[list[str]]:
    tree = ast.parse((ENGINE / "__init__.py").read_text())
    lists = [
        sorted(alias.name for alias in node.names)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("enclaver.engine.")
    ]
    assert len(lists) == 2
    return lists


def test_both_styles_have_the_same_helpers() -> None:
    assert helpers("by_get") == helpers("by_name")


def test_all_of_them_are_exported_in_both_styles() -> None:
    assert exported()[0] == exported()[1] == sorted(helpers("by_get"))


def test_the_one_for_this_pants_is_chosen() -> None:
    from enclaver import engine
    from enclaver.engine import by_get

    assert engine.create_digest is by_get.create_digest


def test_the_rule_parser_of_newer_pants_finds_every_type() -> None:
    """It reads the source: an input is a parameter annotated with a plain class, or a dict that names the class."""
    tree = ast.parse((ENGINE / "by_name.py").read_text())
    known = {name for node in tree.body if isinstance(node, ast.ImportFrom) for name in imported(node)}
    for helper in (node for node in tree.body if isinstance(node, ast.AsyncFunctionDef)):
        parameters = {argument.arg: argument.annotation for argument in helper.args.args if argument.annotation}
        for call in (node for node in ast.walk(helper) if isinstance(node, ast.Call)):
            if ast.unparse(call.func) != "implicitly":
                continue
            assert len(call.args) <= 1
            for given in call.args:
                types = [*given.values] if isinstance(given, ast.Dict) else [parameters[ast.unparse(given)]]
                assert all(isinstance(found, ast.Name) and found.id in known for found in types), ast.unparse(call)


def imported(node: ast.ImportFrom) -> set[str]:
    return {alias.asname or alias.name for alias in node.names}
