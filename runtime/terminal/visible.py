r"""Text from files, sentences and libraries as it is shown: nothing in it can move the cursor, hide, or turn the order of the text.

Control characters, those that set the direction of text, and whatever else Unicode lets a display ignore (Default_Ignorable_Code_Point of
DerivedCoreProperties.txt) are shown as escapes, `\x1b` or `\u202e`. Left as they are: variation selectors, which emoji have, and joiners
after a letter beyond the Latin, Greek and Cyrillic ones, which Persian and the scripts of India need.
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
    """Text with escapes for what would not be seen, also for line ends."""
    return _HIDDEN.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    return _SHORT.get(character) or character.encode("unicode_escape", "backslashreplace").decode("ascii")
