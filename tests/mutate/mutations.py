"""The mechanical mutations of a C file: where one may be made, and what comes in the place of what."""

import hashlib
import re
from dataclasses import dataclass

TOKEN = re.compile(r"""
    (?P<skip>/\*.*?\*/ | //[^\n]* | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*')
  | (?P<directive>^[ \t]*\#(?:\\\n|/\*.*?\*/|[^\n])*)
  | (?P<number>\b(?:0[xX][0-9a-fA-F]+|[0-9]+)(?:[uUlL]*)\b(?!\.))
  | (?P<word>[A-Za-z_]\w*)
  | (?P<op>->|\+\+|--|<<=|>>=|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^]=|[-+*/%&|^<>=!~?:;,.(){}\[\]])
""", re.VERBOSE | re.DOTALL | re.MULTILINE)
DEFINE = re.compile(r"[ \t]*#[ \t]*define[ \t]+\w+[ \t]+(?P<value>.*)", re.DOTALL)
COMPARED = {"<": ["<=", ">="], "<=": ["<", ">"], ">": [">=", "<="], ">=": [">", "<"], "==": ["!="], "!=": ["=="]}
OTHERS = {"&&": ["||"], "||": ["&&"], "+=": ["-="], "-=": ["+="], "++": ["--"], "--": ["++"]}
WORDS = {"true": ["false"], "false": ["true"]}
# What begins a statement that is not dropped: it declares something, or leads elsewhere.
KEPT = {"return", "break", "continue", "goto", "case", "default", "if", "else", "for", "while", "do", "switch", "static", "const", "struct", "enum",
        "unsigned", "int", "bool", "char", "size_t", "void", "double", "uint8_t", "uint32_t", "uint64_t", "int64_t", "json_t", "json_error_t", "typedef",
        "_Static_assert", "HASH_FIND", "HASH_FIND_STR"}
OPERANDS = {")", "]"}


@dataclass(frozen=True)
class Token:
    kind: str
    text: str
    at: int


@dataclass(frozen=True)
class Mutation:
    file: str
    at: int
    end: int
    new: str
    line_number: int
    line: str
    change: str

    @property
    def key(self):
        return f"{self.file}: {self.change} in: {self.line}"

    def apply(self, text):
        return text[:self.at] + self.new + text[self.end:]


def tokens_of(text):
    return [Token(m.lastgroup, m.group(), m.start()) for m in TOKEN.finditer(text)]


def _in_tables(tokens):
    """Indices within the braces of tables of text, e.g. names of states: changing them is no matter of the core."""
    inside, depth, until = set(), 0, None
    for i, t in enumerate(tokens):
        if t.text == "{":
            depth += 1
            head = [x.text for x in tokens[max(0, i - 10):i]]
            if until is None and head[-1:] == ["="] and "char" in head and "[" in head:
                until = depth
        if until is not None:
            inside.add(i)
        if t.text == "}":
            if until == depth:
                until = None
            depth -= 1
    return inside


def _numbers(text):
    """A small one is a count: one more or less. A large one is a time or a size: only much more or less is a change."""
    digits = re.match(r"0[xX][0-9a-fA-F]+|[0-9]+", text).group()
    value, suffix = int(digits, 0), text[len(digits):]
    new = [value * 2, value // 2] if value >= 10 else [value + 1] + ([value - 1] if value else [])
    return [f"{n}{suffix}" for n in new]


def _is_binary(tokens, i):
    before = tokens[i - 1]
    return before.kind in ("number", "word") and before.text not in ("return", "case") or before.text in OPERANDS


def _matching(tokens, i):
    depth = 0
    for j in range(i, len(tokens)):
        depth += tokens[j].text == "("
        depth -= tokens[j].text == ")"
        if depth == 0:
            return j
    return None


def _replaced(tokens, i):
    """(end, new text) of what may come in the place of this token, or of what begins with it."""
    t = tokens[i]
    end = t.at + len(t.text)
    if t.kind == "number":
        yield from ((end, new) for new in _numbers(t.text))
    elif t.kind == "word" and t.text in WORDS:
        yield from ((end, new) for new in WORDS[t.text])
    elif t.kind == "op" and (t.text in COMPARED or t.text in OTHERS):
        yield from ((end, new) for new in {**COMPARED, **OTHERS}[t.text])
    elif t.text in "+-" and t.kind == "op" and _is_binary(tokens, i):
        yield end, "-" if t.text == "+" else "+"
    elif t.text == "-" and t.kind == "op":
        yield end, ""
    elif t.text == "!" and t.kind == "op":
        yield end, ""
    elif t.text == "(" and tokens[i - 1].text in ("if", "while") and _matching(tokens, i):
        close = tokens[_matching(tokens, i)].at
        yield close + 1, None


def _statement_end(tokens, i):
    """The index of the semicolon of the assignment or call that begins here; None: it is something else."""
    depth, acts, assigns = 0, False, False
    for j in range(i, len(tokens)):
        text = tokens[j].text
        if depth == 0 and ((text == "{" and not assigns) or (text in (":", "?") and not acts)):
            return None
        depth += text in ("(", "{", "[")
        depth -= text in (")", "}", "]")
        if depth < 0:
            return None
        assigns |= depth == 0 and text in ("=", "+=", "-=", "|=", "&=", "++", "--", "*=", "/=", "<<=", ">>=")
        acts |= assigns or (depth == 0 and text == ")")
        if depth == 0 and text == ";":
            return j if acts else None
    return None


def _begins_statement(tokens, i):
    before = tokens[i - 1].text
    return before in (";", "{", "}", "else", ":") or (before == ")" and tokens[i].kind == "word" and _heads(tokens, i - 1))


def _heads(tokens, close):
    """The parenthesis that ends at `close` is that of an if or a loop."""
    depth = 0
    for j in range(close, -1, -1):
        depth += tokens[j].text == ")"
        depth -= tokens[j].text == "("
        if depth == 0:
            return tokens[j - 1].text in ("if", "while", "for") or tokens[j - 1].text.startswith("HASH_ITER")
    return False


def _declares(tokens, i):
    """`struct x *y = …` is caught by its first word; `uv_loop_t *loop = …` by two names in a row."""
    return tokens[i].text in KEPT or tokens[i + 1].kind == "word" or (tokens[i + 1].text == "*" and tokens[i].text.endswith("_t"))


def _dropped(tokens, i):
    t = tokens[i]
    starts = t.kind == "word" or t.text in ("*", "(", "++", "--")
    if starts and _begins_statement(tokens, i) and not _declares(tokens, i) and not (t.text == "(" and tokens[i + 1].text == "void"):
        j = _statement_end(tokens, i)
        if j:
            yield tokens[j].at, "(void)0"


def _swapped(tokens, i):
    """f(a, b) to f(b, a); the compiler sorts out where that is no C."""
    t = tokens[i]
    six = tokens[i:i + 6]
    if t.kind != "word" or t.text in KEPT or t.text in ("strcmp", "same", "mac_equal", "clock_min", "address_compare") or len(six) < 6:
        return
    if [x.text for x in (six[1], six[3], six[5])] == ["(", ",", ")"] and all(x.kind == "word" for x in (six[2], six[4])) and six[2].text != six[4].text:
        yield six[5].at + 1, f"{t.text}({six[4].text}, {six[2].text})"


def _in_define(directive):
    """A constant that has a name."""
    found = DEFINE.match(directive.text)
    if not found or "(" in directive.text.split(None, 2)[1]:
        return
    value = re.sub(r"/\*.*?\*/", lambda m: " " * len(m.group()), found["value"], flags=re.DOTALL)
    start, numbers = directive.at + found.start("value"), list(re.finditer(r"\b(?:0x[0-9a-fA-F]+|[0-9]+)[uUlL]*\b", value))
    for m in numbers:
        for new in _numbers(m.group()):
            yield start + m.start(), start + m.end(), new
    unit = re.fullmatch(r"\s*(CLOCK_S|CLOCK_MS)\s*", value)
    if unit and not numbers:
        for new in (f"(2 * {unit[1]})", f"({unit[1]} / 2)"):
            yield start + unit.start(1), start + unit.end(1), new


def _places(text):
    tokens = [t for t in tokens_of(text) if t.kind != "skip"]
    code = [t for t in tokens if t.kind != "directive"]
    tables, depth = _in_tables(code), 0
    for t in tokens:
        if t.kind == "directive":
            yield from _in_define(t)
    for i, t in enumerate(code):
        depth += t.text == "{"
        depth -= t.text == "}"
        if i in tables or i == 0 or i + 1 >= len(code) or depth == 0:
            continue
        for make in (_replaced, _dropped, _swapped):
            for end, new in make(code, i):
                yield t.at, end, f"(!{text[t.at:end]})" if new is None else new


def _short(text):
    text = " ".join(text.split())
    return text if len(text) <= 60 else text[:57] + "..."


def mutations(file, text):
    """All of them; the same change at several places of one line gets a number."""
    seen, found = {}, []
    for at, end, new in _places(text):
        start = text.rfind("\n", 0, at) + 1
        line = text[start:text.find("\n", at)].strip()
        change = f"`{_short(text[at:end])}` -> `{_short(new)}`"
        if new == "(void)0":
            change = f"dropped `{_short(text[at:end])};`"
        nth = seen[line, change] = seen.get((line, change), 0) + 1
        found.append(Mutation(file, at, end, new, text.count("\n", 0, at) + 1, line, change + (f" #{nth}" if nth > 1 else "")))
    return found


def in_drawn_order(found, seed):
    """By lot, but each has its own: what is changed elsewhere in the file does not draw others."""
    return sorted(found, key=lambda m: hashlib.sha256(f"{seed}|{m.key}".encode()).digest())
