"""Mutations of files for fuzz tests: bytes, text, JSON trees. Each case has a seed, so that it can be repeated."""

import json
import random
import resource
import sys

from passerby.errors import PasserbyError

VALUES = [None, True, -1, 0, 2**62, 1.5, 1e300, "", "x", "inf", [], [1], ["x"], {}, {"x": 1}]
RAW = ["Infinity", "NaN", "1e999", "9" * 400, "10000000000000000000000"]
WORDS = [
    "",
    "-1",
    "0",
    "1e999",
    "nan",
    "9" * 30,
    "9" * 5000,
    "-0.0",
    "1,2",
    "\0",
    "\x1b[31m",
    "\ud83d\ude00",
    "é" * 300,
]
WORDS += [
    "../../x",
    "/etc/passwd",
    "a\\b",
    '"',
    "'",
    ";",
    "\t",
    "None",
    "true",
    "2024-13-45",
    "[" * 100,
    "?",
    "+",
    "&=",
    ":",
]
NUMBERS = [0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 0x80000000]
MEMORY = 2 * 2**30
"""Bytes by which the peak memory of the process may grow in one test."""


def damage_bytes(content, generator):
    """Change, delete, insert or repeat bytes, or cut the end; up to four times."""
    damaged = bytearray(content)
    for _ in range(generator.randint(1, 4)):
        at = generator.randrange(len(damaged) + 1)
        match generator.randrange(6):
            case 0 if at < len(damaged):
                damaged[at] = generator.randrange(256)
            case 1:
                del damaged[at : at + generator.randint(1, 16)]
            case 2:
                damaged[at:at] = generator.randbytes(generator.randint(1, 16))
            case 3:
                damaged[at : at + 4] = generator.choice(NUMBERS).to_bytes(4, generator.choice(["little", "big"]))
            case 4:
                damaged[at:at] = damaged[at : at + 64]
            case 5 if generator.random() < 0.3:
                del damaged[at:]
    return bytes(damaged)


def damage_text(text, generator, words=WORDS):
    """Replace, delete or repeat words and lines by values that readers of text have failed on."""
    for _ in range(generator.randint(1, 3)):
        at, end = sorted(generator.randrange(len(text) + 1) for _ in range(2))
        end = min(end, at + generator.choice([0, 1, 1, 3, 8]))
        match generator.randrange(4):
            case 0:
                text = text[:at] + generator.choice(words) + text[end:]
            case 1:
                text = text[:at] + text[end:]
            case 2:
                text = text[:at] + text[at : at + 40] + text[at:]
            case 3:
                lines = text.split("\n")
                line = generator.randrange(len(lines))
                fields = lines[line].split(",")
                fields[generator.randrange(len(fields))] = generator.choice(words)
                text = "\n".join([*lines[:line], ",".join(fields), *lines[line + 1 :]])
    return text


def damage_file(content, generator):
    """Damage the bytes of a file, or its text if it is text."""
    if generator.random() < 0.3:
        return damage_bytes(content, generator)
    try:
        return damage_text(content.decode(), generator).encode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return damage_bytes(content, generator)


def damage_json(text, count, *, skip=()):
    """Yield copies of a JSON text with one value replaced; `skip` are keys of the outermost object."""
    generator = random.Random(0)
    paths = [path for path in _places(json.loads(text)) if path[0] not in skip]
    for _ in range(count):
        raw = generator.random() < 0.3
        yield _replace(text, generator.choice(paths), generator.choice(RAW if raw else VALUES), raw=raw)


def _places(tree, path=()):
    """Paths of all values of a JSON tree."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in list(items)[:6]:
        yield (*path, key)
        yield from _places(value, (*path, key))


def _replace(text, path, value, *, raw):
    tree = json.loads(text)
    node = tree
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = "@@" if raw else value
    return json.dumps(tree).replace('"@@"', value) if raw else json.dumps(tree)


def run_cases(count, attempt, *, both=True):
    """Call `attempt(generator)` with `count` seeds: a result or a PasserbyError, in bounded memory.

    Args:
        both: Some cases must give a result and some an error, so that the mutations are neither idle nor fatal.
    """
    before, results = _peak_memory(), 0
    for seed in range(count):
        message = ""
        try:
            attempt(random.Random(seed))
            results += 1
        except PasserbyError as error:
            message = str(error)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {type(error).__name__}: {str(error)[:500]}") from error
        assert len(message) < 5000, f"seed {seed}: a message of {len(message):,} characters"
        assert _peak_memory() - before < MEMORY, f"seed {seed}: the peak memory grew by more than {MEMORY:,} bytes"
    assert not both or 0 < results < count, f"{results} results in {count} cases"


def _peak_memory():
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
