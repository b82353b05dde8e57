"""Document names that somebody hostile would choose, and how they are written into a URL.

``NAMES`` can all be documents' names, and each is another document. ``REFUSED`` can't be any
document's, in whatever way it is asked for.
"""

import unicodedata
from collections.abc import Callable, Iterator
from urllib.parse import quote

__all__ = ["MAX_BYTES", "NAMES", "REFUSED", "UNREADABLE", "WRITTEN"]

MAX_BYTES = 512
"""The longest name by default."""


def _traversals() -> Iterator[str]:
    """Ways up and out, plain and in encodings that something might decode once too often."""
    yield from (".", "..", "...", "/", "//", "///", "./", "../", "/.", "/..", "/./", "~", "~root")
    target = "etc/passwd"
    for up in ("../", "..\\", "....//", "..;/", ".../", "../\\", "..//", "./../", "a/../../"):
        yield up * 6 + target
    for up in (
        *("%2e%2e%2f", "%2e%2e/", "..%2f", "%2E%2E%2F", "%2e%2e%5c", "..%5c"),
        *("%252e%252e%252f", "..%252f", "%25252e%25252e%25252f", "%%32%65%%32%65%%32%66"),
        *("%c0%ae%c0%ae%c0%af", "%c0%2e%c0%2e%c0%5c", "%e0%80%ae%e0%80%ae%e0%80%af"),
        *("%uff0e%uff0e%u2215", "..%u2216", "%u002e%u002e%u002f", "&#46;&#46;&#47;"),
        *("\\u002e\\u002e\\u002f", "\\x2e\\x2e\\x2f", "=2e=2e=2f"),
        *("\uff0e\uff0e\uff0f", "\u2024\u2024\u2215", "\u2025/", "..\u2044", "..\u29f8", "\u2026/"),
    ):
        yield up * 3 + target
    yield from ("/etc/passwd", "//etc/passwd", "\\etc\\passwd", "file:///etc/passwd", "C:", "C:a")
    yield from ("C:\\windows", "C:/windows", "\\\\server\\share", "//server/share", "\\\\?\\C:\\a")
    yield from ("\\\\.\\COM1", "\\\\.\\pipe\\a", "/dev/null", "/proc/self/environ", "%00", "a%00b")
    yield from (
        "%SYSTEMROOT%",
        "$HOME",
        "${HOME}",
        "$(id)",
        "`id`",
        ";id",
        "|id",
        "&id",
        "!!",
        "-rf",
    )
    yield from (
        "--help",
        "*",
        "?",
        "[a]",
        "{a,b}",
        "#",
        "a?b",
        "a#b",
        "a&b=c",
        "a;b",
        "a=b",
        "@",
        ":",
    )


def _stores() -> Iterator[str]:
    """What stores call their own files, and what others put beside them."""
    for own in (
        *("store", "store.db", "store.db-wal", "store.db-shm", "store.db-journal", "store.lock"),
        *("documents", "journals", "journal", "damaged", "lock", "format", "crdtsync.db"),
        *("journal-00000001-0000000000000000", "a.crdt", "a.crdt.tmp", ".crdt", "a.tmp"),
        *("guard", "side.db", "note", "quarantine", "sqlite_master", "sqlite_sequence"),
    ):
        yield own
        yield f"../{own}"
        yield f"{own}/"
    yield from (".hidden", ".git/config", "__proto__", "constructor", "__init__.py")
    yield from ("metrics", "health/live", "health/ready", "api/v1/documents", "api/v1/openapi.json")
    yield from ("favicon.ico", "robots.txt", "index.html", "null", "undefined", "NaN", "0", "true")
    yield from ("'", "''", '"', "a' OR '1'='1", "'; DROP TABLE documents; --", "a\\'b", "%", "%%")
    yield from ("_", "%_", "a%", "<script>alert(1)</script>", "{{7*7}}", "\r\nX: y", "a\r\n\r\nb")


def _windows() -> Iterator[str]:
    """Devices, and what Windows strips off, folds or refuses."""
    for device in (
        "con",
        "prn",
        "aux",
        "nul",
        "com1",
        "com9",
        "lpt1",
        "lpt9",
        "com\u00b9",
        "conin$",
    ):
        yield device
        yield device.upper()
        yield f"{device}.txt"
    yield from ("con.", "con ", "con:", "nul.tar.gz", "a/con/b", "aux.h", "clock$")
    for ending in (".", "..", " ", "  ", ". ", " .", "\t", "\n", "\u00a0", "\u3000"):
        yield f"end{ending}"
    yield from (" a", "\ta", " ", "  ", "\t", "\n", "a:b", "a:$DATA", "a::$INDEX_ALLOCATION")
    yield from ("LONGNA~1", "longna~1.crd", "a<b", "a>b", "a|b", 'a"b', "a*b", "a^b")


def _controls() -> Iterator[str]:
    """Every control character but NUL, and what turns, hides or joins text."""
    for number in (*range(1, 32), *range(127, 160)):
        yield f"c{chr(number)}c"
    for number in (
        *(0x00AD, 0x034F, 0x061C, 0x115F, 0x180E, 0x200B, 0x200C, 0x200D, 0x200E, 0x200F),
        *(0x2028, 0x2029, 0x202A, 0x202B, 0x202C, 0x202D, 0x202E, 0x2060, 0x2061, 0x2066),
        *(0x2067, 0x2068, 0x2069, 0x206A, 0x3164, 0xFE00, 0xFE0F, 0xFEFF, 0xFFF9, 0xFFFC),
        *(0xFFFD, 0xFFFE, 0xFFFF, 0xFDD0, 0xE000, 0xF8FF, 0xE0001, 0xE0020, 0x10FFFE, 0x10FFFF),
        *(0xD7FF, 0x1FFFF, 0x2FFFE, 0x1D173),
    ):
        yield f"f{chr(number)}f"
    yield from (
        "\x1b[2J\x1b[31mred",
        "\x07",
        "gpj.\u202etxt",
        "\ufeffbom",
        "a\u0000".replace("\0", "\u2400"),
    )


def _letters() -> Iterator[str]:
    """Names that look or fold alike, each in all of its forms."""
    for word in (
        *(
            "caf\u00e9",
            "\u00c5ngstr\u00f6m",
            "\u1e9b\u0323",
            "\u03d3",
            "\uac00",
            "\ufb01le",
            "\u2126",
        ),
        *("\u212b", "\u1ea0", "o\u0302\u0323", "\u0958", "\ufdfa", "\u2460", "\u3392", "\uff21"),
    ):
        for form in ("NFC", "NFD", "NFKC", "NFKD"):
            yield unicodedata.normalize(form, word)  # type: ignore[arg-type]
        yield word
    for word in (
        "upper",
        "stra\u00dfe",
        "istanbul",
        "\u01c6",
        "\u03c3",
        "\u10d0",
        "\uab70",
        "\U00010428",
    ):
        yield from (word, word.upper(), word.title(), word.casefold(), word.swapcase())
    yield from (
        "\u0130",
        "i\u0307",
        "\u0131",
        "I",
        "i",
        "\u017f",
        "s",
        "S",
        "K",
        "\u212a",
        "k",
        "\u03c2",
    )
    yield from (
        "paypal",
        "p\u0430ypal",
        "\u0440aypal",
        "a\u0301",
        "\u0301",
        "\u0301a",
        "a\u0301\u0301",
    )
    yield "z" + "\u0300\u0301\u0302" * 40  # a stack of accents
    yield from ("\u65e5\u672c\u8a9e", "\u0645\u0631\u062d\u0628\u0627", "\u05e9\u05dc\u05d5\u05dd")
    yield from ("\U0001f389", "\U0001f469\u200d\U0001f4bb", "\U0001f1e9\U0001f1ea", "1\ufe0f\u20e3")
    yield from (
        "\U0001f44d\U0001f3fd",
        "\U0001f44d",
        "\u2764",
        "\u2764\ufe0f",
        "\U000e0067\U000e007f",
    )


def _long() -> Iterator[str]:
    """As long as can be, alike to the last byte, and long once they are written as a file."""
    yield from (
        "x" * MAX_BYTES,
        "x" * (MAX_BYTES - 1) + "y",
        "X" * MAX_BYTES,
        "x" * (MAX_BYTES - 1),
    )
    yield from ("\u00fc" * (MAX_BYTES // 2), "\U0001f389" * (MAX_BYTES // 4), "." * MAX_BYTES)
    yield from ("/" * MAX_BYTES, "../" * 170, "a/" * 256, "%" * MAX_BYTES, "\\" * MAX_BYTES)
    for size in (42, 43, 80, 81, 123, 124, 127, 128, 129, 143, 144, 250, 251, 255, 256):
        yield "n" * size
        yield "N" * size
        yield "n" * (size - 1) + "m"


NAMES: list[str] = list(
    dict.fromkeys(
        name
        for source in (_traversals, _stores, _windows, _controls, _letters, _long)
        for name in source()
        if name
    )
)
"""Each another document, and each read back as itself."""

REFUSED: list[str] = [
    "",
    *("\0", "a\0", "\0a", "a\0b", "../\0.txt", "\0" * MAX_BYTES),
    *(
        "x" * (MAX_BYTES + 1),
        "\u00fc" * (MAX_BYTES // 2) + "x",
        "\u20ac" * 171,
        "../" * 171,
        "x" * 2000,
    ),
]
"""Names in Unicode that no document has: none at all, a NUL, too long."""
UNREADABLE: list[str] = [
    *("%ff", "%fe%ff", "%80", "%bf", "a%c3", "%c3%28", "%e2%82", "%f0%9f%98", "%f0%28%8c%bc"),
    *("%c0%80", "%c0%ae%c0%ae%c0%af", "%c1%bf", "%e0%80%af", "%f0%80%80%af", "%f8%88%80%80%80"),
    *("%ed%a0%80", "%ed%bf%bf", "%ed%a0%bd%ed%b8%80", "%f4%90%80%80", "%f5%80%80%80", "%ff%00"),
]
"""Percent-encoded bytes that are no UTF-8: cut, overlong, surrogates, beyond Unicode."""

WRITTEN: dict[str, Callable[[str], str]] = {
    "all but letters": lambda name: quote(name, safe=""),
    "slashes as they are": lambda name: quote(name, safe="/"),
    "every byte": lambda name: "".join(f"%{byte:02x}" for byte in name.encode()),
    "every byte, capitals": lambda name: "".join(f"%{byte:02X}" for byte in name.encode()),
}
"""The ways to write a name into a URL, all of them the same name."""
