r"""Escaping of text from files, sentences and libraries, so that nothing in it can move the cursor, hide, or reverse the text.

Control characters, characters that set the direction of text, and others that Unicode lets a display ignore (Default_Ignorable_Code_Point
in DerivedCoreProperties.txt) appear as escapes such as `\x1b` or `\u202e`. Two kinds are kept: variation selectors, which emoji use, and
joiners after letters other than Latin, Greek and Cyrillic, which Persian and the scripts of India need.
"""

from __future__ import annotations

import re

_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0"
    "\ufff0-\ufffb\ud800-\udfff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
    "|(?<![\u0590-\u1fff\u2600-\u27bf\ufb1d-\ufe0f\ufe70-\ufefc\U00010800-\U0001faff])[\u200c\u200d]"
)
_SHORT = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}


def visible(text: str) -> str:
    """Text with escapes for invisible characters, including line ends."""
    return _HIDDEN.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    return _SHORT.get(character) or character.encode("unicode_escape", "backslashreplace").decode("ascii")
