"""Rules of the house that no linter knows. Each failure names the file, the line and what to do instead.

Layers are checked by import-linter (pyproject.toml), style and types by ruff and mypy.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
APPS = ("accounts", "billing", "catalyst", "config", "console", "enrollment", "marketplace", "notifications", "pods")
ROOTS = (*APPS, "lib", "sandbox", "tests", "benchmarks")

BANNED_MODULES = {"utils", "util", "helpers", "helper", "common", "misc", "base_services", "manager", "managers"}
BANNED_CALLS = {"delay": "delay_on_commit", "apply_async": "apply_async_on_commit"}
LONGEST_FILE = 400
LONGEST_FUNCTION, LONGEST_JOURNEY = 50, 80
AIM = 40

MONEY_PATHS = ("billing/", "pods/metering.py", "pods/pricing.py", "marketplace/pricing.py")
# (file, the function or constant in which it stands): why a float is no money there.
FLOATS_ALLOWED = {
    ("billing/chain/client.py", "TIMEOUT_S"): "seconds that a call may take",
    ("billing/chain/faucet.py", "TIMEOUT_S"): "seconds that a call may take",
    ("billing/payments/paypal/client.py", "TIMEOUT_S"): "seconds that a call may take",
    ("pods/metering.py", "_plan_next"): "seconds until the next look",
    ("marketplace/pricing.py", "all_in"): "gigabytes, made a Decimal before they meet a price",
    ("marketplace/pricing.py", "_per_hour"): "gigabytes, made a Decimal before they meet a price",
}
# (file, function): why this is not the status of an object with a life.
STATUS_ALLOWED = {
    ("accounts/idempotency.py", "answer_once"): "the HTTP status of a kept answer",
}
# Mail readers know no stylesheets and no classes.
INLINE_STYLE_ALLOWED = {"templates/mail/message.html"}
# Names and units that are the same in every language.
UNTRANSLATED = {
    "GPUBroker",
    "PayPal",
    "UTC",
    "CPU",
    "GPU",
    "RAM",
    "VRAM",
    "vCPU",
    "GB",
    "MB",
    "TFLOPS",
    "USD",
    "USDC",
    "API",
    "JSON",
    "CSV",
    "RTX",
    "TDP",
    "Mbit",
    "ms",
}


@dataclass(frozen=True)
class Source:
    """One file. `path` is relative to the checkout, with slashes."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @cached_property
    def scopes(self) -> dict[ast.AST, str]:
        """The innermost function around each node; at the top the constant that is being given a value."""
        return dict(_scopes(self.tree, ""))


def _scopes(node: ast.AST, scope: str) -> Iterator[tuple[ast.AST, str]]:
    for child in ast.iter_child_nodes(node):
        inner = scope
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            inner = child.name
        elif not scope and isinstance(child, ast.Assign) and isinstance(child.targets[0], ast.Name):
            inner = child.targets[0].id
        yield child, inner
        yield from _scopes(child, inner)


def _python() -> list[Source]:
    files = [file for root in ROOTS for file in sorted((CHECKOUT / root).rglob("*.py"))]
    return [Source(file.relative_to(CHECKOUT).as_posix(), file.read_text()) for file in files]


def _templates() -> list[Source]:
    files = [file for file in sorted((CHECKOUT / "templates").rglob("*")) if file.suffix in {".html", ".txt"}]
    return [Source(file.relative_to(CHECKOUT).as_posix(), file.read_text()) for file in files]


PYTHON, TEMPLATES = _python(), _templates()
Rule = Callable[[Source], Iterator[tuple[int, str]]]


def broken(rule: Rule, sources: list[Source]) -> list[str]:
    return [f"{source.path}:{line}: {message}" for source in sources for line, message in rule(source)]


def names_of_modules(source: Source) -> Iterator[tuple[int, str]]:
    for part in Path(source.path).with_suffix("").parts:
        if part in BANNED_MODULES:
            yield 1, f"'{part}' says nothing about what is inside; name the module by its noun"


def no_signals(source: Source) -> Iterator[tuple[int, str]]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if re.match(r"django\.(dispatch|db\.models\.signals|core\.signals|contrib\.auth\.signals)\b", name):
                yield node.lineno, f"{name}: call the function that should happen; signals hide who does what"


def tasks_wait_for_commit(source: Source) -> Iterator[tuple[int, str]]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in BANNED_CALLS:
            better = BANNED_CALLS[node.func.attr]
            yield node.lineno, f".{node.func.attr}( may run before the commit, or without one: use .{better}("


def status_has_one_writer(source: Source) -> Iterator[tuple[int, str]]:
    """Making an object with its first status is no change, and neither is `self.status` of one that is being made."""
    for line, scope in _status_writes(source):
        if (source.path, scope) not in STATUS_ALLOWED:
            yield line, "status is written by lifecycle.py alone: call its switch function"


def _status_writes(source: Source) -> Iterator[tuple[int, str]]:
    for node, scope in source.scopes.items():
        if _writes_status(node, scope):
            yield getattr(node, "lineno", 0), scope


def _writes_status(node: ast.AST, scope: str) -> bool:
    if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return any(_is_status(target) and not _of_new_self(target, scope) for target in targets)
    if not isinstance(node, ast.Call):
        return False
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if name == "setattr":
        return len(node.args) > 1 and _is_text(node.args[1])
    given = {keyword.arg: keyword.value for keyword in node.keywords}
    if name in {"update", "aupdate"}:
        unpacked = [value for value in given.values() if isinstance(value, ast.Dict)]
        return "status" in given or any(_is_text(key) for row in unpacked for key in row.keys)
    fields = {
        "save": "update_fields",
        "asave": "update_fields",
        "bulk_create": "update_fields",
        "bulk_update": "fields",
    }
    listed = given.get(fields.get(name, "")) or (node.args[1] if name == "bulk_update" and len(node.args) > 1 else None)
    return isinstance(listed, ast.List | ast.Tuple | ast.Set) and any(_is_text(item) for item in listed.elts)


def _is_status(target: ast.AST) -> bool:
    return isinstance(target, ast.Attribute) and target.attr == "status"


def _of_new_self(target: ast.AST, scope: str) -> bool:
    owner = target.value if isinstance(target, ast.Attribute) else None
    return scope == "__init__" and isinstance(owner, ast.Name) and owner.id == "self"


def _is_text(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Constant) and node.value == "status"


def money_is_decimal(source: Source) -> Iterator[tuple[int, str]]:
    for line, scope in _floats(source):
        if (source.path, scope) not in FLOATS_ALLOWED:
            yield line, "a float in a money path: amounts and rates are Decimal"


def _floats(source: Source) -> Iterator[tuple[int, str]]:
    for node, scope in source.scopes.items():
        named = isinstance(node, ast.Name) and node.id == "float"
        if named or (isinstance(node, ast.Constant) and isinstance(node.value, float)):
            yield getattr(node, "lineno", 0), scope


def sizes(source: Source) -> Iterator[tuple[int, str]]:
    lines = source.text.count("\n")
    if lines > LONGEST_FILE:
        yield 1, f"{lines} lines: split it by noun (at most {LONGEST_FILE})"
    most = LONGEST_JOURNEY if source.path.startswith("tests/e2e/") else LONGEST_FUNCTION
    for line, name, length in functions(source):
        if length > most:
            yield line, f"{name} has {length} lines: name its parts (at most {most})"


def functions(source: Source) -> Iterator[tuple[int, str, int]]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.lineno, node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def pages_obey_the_policy(source: Source) -> Iterator[tuple[int, str]]:
    """The content security policy of pages runs no inline script and applies no inline style."""
    markup = re.sub(r"{%.*?%}|{{.*?}}|{#.*?#}", lambda gap: re.sub(r"[^\n]", "_", gap.group()), source.text, flags=re.S)
    for tag in re.finditer(r"<([a-z][\w-]*)\b([^>]*)>", markup, flags=re.S):
        line = markup.count("\n", 0, tag.start()) + 1
        name, attributes = tag.groups()
        if name == "script" and not re.search(r'\bsrc=|\btype="application/json"', attributes):
            yield line, "an inline <script> does not run: put it into static/js"
        if name == "style":
            yield line, "an inline <style> does not apply: put it into static/css"
        for attribute in re.findall(r"\s(style|on[a-z]+)\s*=", attributes):
            yield line, f"{attribute}=… has no effect under the policy: use a class or static/js"


def text_is_translated(source: Source) -> Iterator[tuple[int, str]]:
    """Words that stand in no translate tag. Class names given as a block are no text; neither is code."""
    kept = source.text
    for pattern in (
        r"{#.*?#}",
        r"{%\s*comment\b.*?endcomment\s*%}",
        r"{%\s*blocktranslate\b.*?endblocktranslate\s*%}",
        r"{%\s*block \w+_class\s*%}.*?{%\s*endblock.*?%}",
        r"{%.*?%}|{{.*?}}",
        r"<(script|style|code|pre|svg|kbd)\b.*?</\1>",
    ):
        kept = re.sub(pattern, lambda gap: re.sub(r"[^\n]", " ", gap.group()), kept, flags=re.S)
    seen = re.sub(r'\b(placeholder|aria-label|title|alt)="([^"]*)"', r'">\2<', kept)
    text = re.sub(r"&\w+;", " ", re.sub(r"<[^>]*>", lambda tag: "\n" * tag.group().count("\n") + " ", seen))
    for number, line in enumerate(text.split("\n"), start=1):
        words = [word for word in re.findall(r"[^\W\d_]{2,}", line) if word not in UNTRANSLATED]
        if words:
            yield number, f"'{' '.join(words)}' is not translated: use {{% translate %}}"


def names_no_machine(source: Source) -> Iterator[tuple[int, str]]:
    """A folder of somebody's machine."""
    for number, line in enumerate(source.text.split("\n"), start=1):
        for found in re.findall(r"""(?:^|[\s"'=(`:])(/(?:home|Users|work|workspace|builds)/\w[^\s"'`)]*)""", line):
            yield number, f"{found} is a folder of one machine"


def test_modules_are_named_by_their_noun() -> None:
    assert not (found := broken(names_of_modules, PYTHON)), "\n".join(found)


def test_no_django_signals() -> None:
    ours = [s for s in PYTHON if not s.path.startswith("tests/")]
    assert not (found := broken(no_signals, ours)), "\n".join(found)


def test_tasks_are_sent_on_commit() -> None:
    assert not (found := broken(tasks_wait_for_commit, PYTHON)), "\n".join(found)


def test_status_is_written_by_lifecycle_alone() -> None:
    rows = [s for s in PYTHON if s.path.startswith(APPS) and not s.path.startswith("catalyst/agent/")]
    others = [s for s in rows if not s.path.endswith("/lifecycle.py")]
    assert not (found := broken(status_has_one_writer, others)), "\n".join(found)


def test_money_is_never_a_float() -> None:
    paths = [s for s in PYTHON if s.path.startswith(MONEY_PATHS)]
    assert not (found := broken(money_is_decimal, paths)), "\n".join(found)


def test_files_and_functions_are_short() -> None:
    written = [s for s in PYTHON if "/migrations/" not in s.path]
    long = sorted((length, f"{s.path}:{line} {name}") for s in written for line, name, length in functions(s))
    above = [(length, name) for length, name in long if length > AIM]
    print(f"{len(above)} of {len(long)} functions have more than {AIM} lines; the longest: {long[-5:][::-1]}")
    assert not (found := broken(sizes, written)), "\n".join(found)


def test_pages_have_no_inline_script_or_style() -> None:
    pages = [s for s in TEMPLATES if not s.path.startswith("templates/admin/") and s.path not in INLINE_STYLE_ALLOWED]
    assert not (found := broken(pages_obey_the_policy, pages)), "\n".join(found)


def test_every_text_of_a_template_is_translated() -> None:
    assert not (found := broken(text_is_translated, TEMPLATES)), "\n".join(found)


def test_no_file_names_a_folder_of_one_machine() -> None:
    suffixes = {".py", ".md", ".toml", ".in", ".lock", ".js", ".css", ".html", ".txt", ".json", ".yaml", ".sh"}
    folders = [CHECKOUT / root for root in (*ROOTS, "docs", "infrastructure", "requirements", "templates")]
    files = [file for folder in folders for file in folder.rglob("*") if file.suffix in suffixes]
    files += [file for file in CHECKOUT.iterdir() if file.suffix in suffixes or file.name == "Makefile"]
    sources = [Source(file.relative_to(CHECKOUT).as_posix(), file.read_text()) for file in files]
    assert not (found := broken(names_no_machine, sources)), "\n".join(found)


def test_every_exception_is_still_needed() -> None:
    """An allowance that nothing uses any more would hide the next mistake."""
    floats = {(s.path, scope) for s in PYTHON if s.path.startswith(MONEY_PATHS) for _, scope in _floats(s)}
    writes = {(s.path, scope) for s in PYTHON if s.path.startswith(APPS) for _, scope in _status_writes(s)}
    assert set(FLOATS_ALLOWED) <= floats
    assert set(STATUS_ALLOWED) <= writes
    assert {s.path for s in TEMPLATES} >= INLINE_STYLE_ALLOWED


WRONG: list[tuple[Rule, str, str]] = [
    (names_of_modules, "pods/utils.py", ""),
    (no_signals, "pods/models.py", "from django.db.models.signals import post_save"),
    (no_signals, "pods/models.py", "from django.dispatch import receiver"),
    (tasks_wait_for_commit, "pods/tasks.py", "reconcile.delay(1)"),
    (tasks_wait_for_commit, "pods/tasks.py", "reconcile.apply_async((1,))"),
    (status_has_one_writer, "pods/stop.py", "def f(pod): pod.status = 'stopped'"),
    (status_has_one_writer, "pods/stop.py", "Pod.objects.filter(pk=1).update(status='stopped')"),
    (status_has_one_writer, "pods/stop.py", "rows.update(**{'status': 'stopped'})"),
    (status_has_one_writer, "pods/stop.py", "pod.save(update_fields=['status'])"),
    (status_has_one_writer, "pods/stop.py", "Pod.objects.bulk_update(rows, ['status'])"),
    (status_has_one_writer, "pods/stop.py", "setattr(pod, 'status', 'stopped')"),
    (money_is_decimal, "billing/fees.py", "fee = amount * 0.15"),
    (money_is_decimal, "billing/fees.py", "fee = float(amount)"),
    (money_is_decimal, "billing/fees.py", "def fee(amount: float): ..."),
    (sizes, "pods/long.py", "\n" * (LONGEST_FILE + 1)),
    (sizes, "pods/long.py", "def f():\n" + "    pass\n" * LONGEST_FUNCTION),
    (pages_obey_the_policy, "templates/a.html", "<script>go()</script>"),
    (pages_obey_the_policy, "templates/a.html", '<p {% if a > b %}x{% endif %} style="color: red">'),
    (pages_obey_the_policy, "templates/a.html", '<button\n  onclick="go()">'),
    (text_is_translated, "templates/a.html", "<p>Your pods</p>"),
    (text_is_translated, "templates/a.html", '<input placeholder="Your name">'),
    (names_no_machine, "docs/run.md", "cd " + "/home" + "/ana/gpubroker"),
]


@pytest.mark.parametrize(("rule", "path", "text"), WRONG, ids=lambda value: getattr(value, "__name__", None))
def test_each_rule_finds_what_breaks_it(rule: Rule, path: str, text: str) -> None:
    assert list(rule(Source(path, text)))


RIGHT: list[tuple[Rule, str, str]] = [
    (tasks_wait_for_commit, "pods/tasks.py", "reconcile.delay_on_commit(1)"),
    (status_has_one_writer, "pods/deploy.py", "Pod.objects.create(status='queued')"),
    (status_has_one_writer, "pods/deploy.py", "Pod.objects.filter(status='queued').update(desired_status='stopped')"),
    (money_is_decimal, "billing/fees.py", "fee = amount * Decimal('0.15')"),
    (pages_obey_the_policy, "templates/a.html", '<script type="module" src="{% static "js/page.js" %}"></script>'),
    (pages_obey_the_policy, "templates/a.html", '<a class="{% if on %}on{% endif %}" href="?style=dark">'),
    (
        text_is_translated,
        "templates/a.html",
        '<p title="{% translate "Pods" %}">{{ n }} GB · {% translate "Pods" %}</p>',
    ),
]


@pytest.mark.parametrize(("rule", "path", "text"), RIGHT, ids=lambda value: getattr(value, "__name__", None))
def test_no_rule_refuses_what_is_right(rule: Rule, path: str, text: str) -> None:
    assert not list(rule(Source(path, text)))
